// How the service is started: as `npm start` does it, whose flags and file decide the figures.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Arguments of Node: the flags, then `more`, then the file. */
export function startArguments(more: readonly string[] = []): string[] {
  const { scripts } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { scripts: { start: string } };
  const words = scripts.start.split(' ');
  const [file = '', ...flags] = words.slice(words.indexOf('node') + 1).toReversed();
  return [...flags.toReversed(), ...more, `${ROOT}${file}`];
}
