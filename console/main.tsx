// Where the page starts: styles, then the one root.
import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/layout.css';
import './styles/controls.css';
import './styles/content.css';
import './styles/tables.css';
import './styles/pages.css';
import { Console } from './console.tsx';
import { followLinks } from './router.ts';
import { applyTheme } from './theme.ts';

applyTheme();
followLinks();
const root = document.getElementById('root');
if (root !== null) render(<Console />, root);
