// README.md and its reference pages list exactly what the code has.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { attemptErrors } from '../src/domain/delivery.ts';
import { reasons } from '../src/domain/errors.ts';

const root = new URL('../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');
const errors = readFileSync(new URL('docs/errors.md', root), 'utf8');
const configuration = readFileSync(new URL('docs/configuration.md', root), 'utf8');

test('docs/errors.md lists every reason with its meaning, and no other', () => {
  expect(tableAfter(errors, '<!-- reasons:')).toEqual(Object.entries(reasons));
});

test('docs/errors.md lists every attempt error with its meaning, and no other', () => {
  expect(tableAfter(errors, '<!-- attempt errors:')).toEqual(Object.entries(attemptErrors));
});

test('docs/configuration.md lists every variable that the configuration reads, and no other', () => {
  const source = readFileSync(new URL('src/config.ts', root), 'utf8');
  const read = source.matchAll(/(?:read\.\w+\(|env\[)'([A-Z][A-Z_]+)'/g).map((match) => match[1] ?? '');
  const listed = tableAfter(configuration, '<!-- variables:').map(([name]) => name);
  expect(new Set(listed)).toEqual(new Set(read));
  expect(listed.length).toBeGreaterThan(40);
});

test('the files that README sends its reader to are there', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map((match) => match[1] ?? '');
  expect(links.filter((link) => !existsSync(new URL(link, root)))).toEqual([]);
  expect(links.length).toBeGreaterThan(5);
});

test('the index of decisions links every page', () => {
  const folder = new URL('docs/decisions/', root);
  const index = readFileSync(new URL('README.md', folder), 'utf8');
  const pages = readdirSync(folder).filter((name) => name !== 'README.md');
  expect(pages.filter((name) => !index.includes(`](${name})`))).toEqual([]);
  expect(pages.length).toBeGreaterThan(20);
});

/** First and last cell of each row between this comment and the next heading. */
function tableAfter(page: string, comment: string): [string, string][] {
  const section = page.slice(page.indexOf(comment)).split(/^#/m)[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) => {
    const cells = row.split('|').map((cell) => cell.trim());
    return [cells[1]?.replaceAll('`', '') ?? '', cells.at(-2) ?? ''];
  });
}

test('README and CONTRIBUTING ask for the Node that the package asks for', () => {
  const { engines } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { engines: { node: string } };
  const version = engines.node.replace('>=', '');
  expect(readme).toContain(`(https://nodejs.org) (${version} or later)`);
  expect(readFileSync(new URL('CONTRIBUTING.md', root), 'utf8')).toContain(`Node ${version} or later`);
});
