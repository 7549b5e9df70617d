// The examples of docs/filters.md say what PostgreSQL does.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { faultOfFilter } from '../src/domain/payload-filter.ts';
import { tryFilter } from '../src/persistence/queries/try-filter.ts';
import { createTestDatabase, type TestDatabase } from './fixtures/database.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const text = readFileSync(new URL('../docs/filters.md', import.meta.url), 'utf8');
/** The cells of each row of the table: code that may hold an escaped bar. */
const examples = [...text.matchAll(/^\| `(.+?)` +\| `(.+?)` +\| `(.+?)` +\|$/gm)].map(([, ...cells]) =>
  cells.map((cell) => cell.replaceAll('\\|', '|')),
) as [filter: string, passes: string, doesNot: string][];

test('there are a dozen examples and more', () => {
  expect(examples.length).toBeGreaterThanOrEqual(12);
});

test.each(examples)('%s passes for %s and not for %s', async (filter, passes, doesNot) => {
  expect(faultOfFilter(filter)).toBeNull();
  const { results } = await tryFilter(database.pool, filter, [passes, doesNot]);
  expect(results?.map(({ isTrue }) => isTrue === true)).toEqual([true, false]);
});

test('what it says about denial holds', async () => {
  const { results } = await tryFilter(database.pool, '!($.total > 5)', ['{"total": "many"}', '{}']);
  expect(results?.map(({ isTrue }) => isTrue)).toEqual([null, true]);
});
