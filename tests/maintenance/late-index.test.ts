// The index of what is due comes to a large table partition by partition, while the service writes.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { buildLateIndex } from '../../src/maintenance/late-index.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  // As the migration leaves a large table.
  await database.pool.query('drop index deliveries_next_attempt');
  await database.pool.query(
    'create index deliveries_next_attempt on only deliveries (next_attempt_at) where next_attempt_at is not null',
  );
});

const build = (isLeading = () => true): Promise<number> =>
  buildLateIndex({ pool: database.pool, isLeading, log: silentLogger, signal: new AbortController().signal });

async function count(text: string): Promise<number> {
  const { rows } = await database.pool.query<{ count: number }>(text);
  return rows[0]?.count ?? -1;
}
const partitions = (): Promise<number> =>
  count(`select count(*)::integer as count from pg_inherits where inhparent = 'deliveries'::regclass`);
const attached = (): Promise<number> =>
  count(`select count(*)::integer as count from pg_inherits where inhparent = 'deliveries_next_attempt'::regclass`);
const isWhole = async (): Promise<boolean> =>
  (await count(`select indisvalid::integer as count from pg_index where indexrelid = 'deliveries_next_attempt'::regclass`)) ===
  1;

test('each round builds the index of one partition, until the whole table has it', async () => {
  const all = await partitions();
  expect([await attached(), await isWhole()]).toEqual([0, false]);
  for (let round = 1; round <= all; round += 1) {
    expect(await build()).toBe(1);
    expect(await attached()).toBe(round);
  }
  expect(await isWhole()).toBe(true);
  expect(await build()).toBe(0);
});

test('a partition that is made meanwhile has the index from the start', async () => {
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 50, 1)`);
  expect(await attached()).toBe(1);
});

test('what a build left that was broken off is built anew', async () => {
  const newest = 'deliveries_default';
  await database.pool.query(
    `create index ${newest}_next_attempt_at_idx on ${newest} (next_attempt_at) where next_attempt_at is not null`,
  );
  await database.pool.query(
    `update pg_index set indisvalid = false where indexrelid = '${newest}_next_attempt_at_idx'::regclass`,
  );
  expect(await build()).toBe(1);
  expect(await attached()).toBe(1);
});

test('a process that does not lead builds nothing', async () => {
  expect(await build(() => false)).toBe(0);
  expect(await attached()).toBe(0);
});
