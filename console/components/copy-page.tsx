// The present page as a command that does the same: with curl, and with the service's own command line where that has one.
import { chosenRange } from './range.tsx';
import { address } from '../router.ts';
import { CopyButton } from './copy-button.tsx';
import { type PageCommands, pageCommands } from './page-commands.ts';

export function CopyPage() {
  const commands = pageCommands(address.value, location.origin, () => new Date(Date.now() - chosenRange().spanMs));
  if (commands === null) return null;
  return <Buttons commands={commands} />;
}

function Buttons({ commands: { curl, cli } }: { commands: PageCommands }) {
  return (
    <footer class="copy-page">
      <span>This page as a command:</span>
      {curl !== null && <CopyButton text={curl} label="Copy curl" />}
      {cli !== null && <CopyButton text={cli} label="Copy CLI line" />}
    </footer>
  );
}
