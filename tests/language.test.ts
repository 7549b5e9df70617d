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

const root = fileURLToPath(new URL('../', import.meta.url));

test('no retired word is used in src/', () => {
  expect(retiredIn('src/**/*.{ts,lua}', plain)).toEqual([]);
});

// Their variables may have names of their own.
test('no retired word is used in a title of a test or a comment of tests/, bench/ and console/', () => {
  expect(retiredIn('{tests,bench,console}/**/*.{ts,tsx}', (line) => titleOf(line) + commentOf(line))).toEqual([]);
});

/** The lines with a retired word, of the part of each line that `read` returns. */
function retiredIn(files: string, read: (line: string) => string): string[] {
  return globSync(files, { cwd: root, exclude: ['**/node_modules/**', '**/dist/**', 'tests/language.test.ts'] }).flatMap(
    (file) =>
      readFileSync(root + file, 'utf8')
        .split('\n')
        .flatMap((line, index) => {
          const word = retired.exec(read(line))?.[0];
          return word === undefined ? [] : [`${file}:${index + 1} "${word}": ${line.trim()}`];
        }),
  );
}

/** A line without the names that stay, its compound names split at capitals and underscores. */
function plain(line: string): string {
  return names
    .reduce((text, name) => text.replaceAll(name, ''), line)
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ');
}

const titleOf = (line: string): string => /^\s*(?:test|it|describe)\b.*?(['"`])(.*)\1/.exec(line)?.[2] ?? '';
const commentOf = (line: string): string => /(?:^|\s)(?:\/\/|\/?\*+)\s(.*)/.exec(line)?.[1] ?? '';
