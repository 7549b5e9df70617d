// Where the page starts: styles, then the one root.
import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/layout.css';
import './styles/controls.css';
import './styles/content.css';
import './styles/tables.css';
import './styles/ticket.css';
import './styles/figures.css';
import './styles/chart.css';
import './styles/overview.css';
import './styles/live.css';
import './styles/webhook-form.css';
import './styles/webhook.css';
import './styles/replay.css';
import './styles/delivery.css';
import './styles/event-types.css';
import './styles/verify.css';
import { followSession } from './api/session.ts';
import { Console } from './console.tsx';
import { followLinks } from './router.ts';
import { applyTheme } from './theme.ts';

applyTheme();
followLinks();
followSession();
const root = document.getElementById('root');
if (root !== null) render(<Console />, root);
