// The retired words of docs/glossary.md do not come back.
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const retired = new RegExp(
  `\\b(${[
    'born|births?|untold|adopt\\w*|depart\\w*|crowded|doors?|paced|pacing|junk',
    'tells?|telling|told|hears?|hearing|heard|owe[ds]?|owing',
    'who(m)?ever|somebody|someone|nobody|anybody|anyone|everybody',
  ].join('|')})\\b`,
  'i',
);

/** Stored, or seen from outside: these names stay. */
const names = [
  // A table and its column.
  /\badoption(?=\.adopted_below| set| where| for update|[')`]|$)/g,
  /\badopted_below\b/g,
  // A key in Redis, a metric, a verdict of the contract, and a user of the operating system.
  /\bwh-pace\b/g,
  /\bqueue_junk_total\b/g,
  /\bnot_owed\b/gi,
  /['`]nobody['`]|\bnobody user\b/g,
];

const root = fileURLToPath(new URL('../src/', import.meta.url));

test('no retired word is used', () => {
  const found = globSync('**/*.{ts,lua}', { cwd: root }).flatMap((file) =>
    readFileSync(root + file, 'utf8')
      .split('\n')
      .flatMap((line, index) => {
        const word = retired.exec(plain(line))?.[0];
        return word === undefined ? [] : [`${file}:${index + 1} "${word}": ${line.trim()}`];
      }),
  );
  expect(found).toEqual([]);
});

/** A line without the names that stay, its compound names split at capitals and underscores. */
function plain(line: string): string {
  return names
    .reduce((text, name) => text.replaceAll(name, ''), line)
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ');
}
