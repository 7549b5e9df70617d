// Partitions come ahead of time, go past retention, and never take a delivery with them that is still owed.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { createPartitions, dropOldPartitions } from '../../src/maintenance/partitions.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const DAY_MS = 86_400_000;
const nowMs = Date.now();
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('delete from deliveries');
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 40, 5)`);
});

const nameOf = (parent: string, ms: number): string =>
  `${parent}_${new Date(ms).toISOString().slice(0, 10).replaceAll('-', '')}`;

async function partitions(): Promise<string[]> {
  const found = await database.pool.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relname ~ '_[0-9]{8}$'`,
  );
  return found.rows.map((row) => row.name);
}

async function insertDelivery(madeAtMs: number, status: string): Promise<void> {
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, next_attempt_at)
     values ($1, 'event_1', 'webhook_1', 'u', 'order.created', $2::varchar, case when $2 in ('pending', 'retrying') then now() end)`,
    [newId('delivery', madeAtMs), status],
  );
}

test('the coming days have partitions, and making them again makes nothing', async () => {
  await createPartitions(database.pool, nowMs + 5 * DAY_MS);
  expect(await partitions()).toEqual(
    expect.arrayContaining(['events', 'deliveries', 'attempts'].map((parent) => nameOf(parent, nowMs + 12 * DAY_MS))),
  );
  expect(await createPartitions(database.pool, nowMs + 5 * DAY_MS)).toBe(0);
});

test('a row of a coming day in the default partition keeps no other day from its partition', async () => {
  await insertDelivery(nowMs + 20 * DAY_MS, 'pending');
  await createPartitions(database.pool, nowMs + 16 * DAY_MS);
  const names = await partitions();
  expect(names).not.toContain(nameOf('deliveries', nowMs + 20 * DAY_MS));
  expect(names).toContain(nameOf('deliveries', nowMs + 21 * DAY_MS));
});

test('days past retention are dropped, younger ones are not', async () => {
  await insertDelivery(nowMs - 40 * DAY_MS, 'delivered');
  await insertDelivery(nowMs - 40 * DAY_MS, 'failed');
  await dropOldPartitions(database.pool, nowMs, 38);
  const names = await partitions();
  expect(names).not.toContain(nameOf('deliveries', nowMs - 40 * DAY_MS));
  expect(names).not.toContain(nameOf('events', nowMs - 40 * DAY_MS));
  expect(names).toContain(nameOf('deliveries', nowMs - 38 * DAY_MS));
});

test('a day that still owes something is kept until it does not', async () => {
  await insertDelivery(nowMs - 40 * DAY_MS, 'retrying');
  await dropOldPartitions(database.pool, nowMs, 38);
  expect(await partitions()).toContain(nameOf('deliveries', nowMs - 40 * DAY_MS));
  await database.pool.query(`update deliveries set status = 'failed', next_attempt_at = null, failed_at = now()`);
  await dropOldPartitions(database.pool, nowMs, 38);
  expect(await partitions()).not.toContain(nameOf('deliveries', nowMs - 40 * DAY_MS));
});

test('somebody who reads for long is waited for but briefly, and holds up nobody else', async () => {
  const reader = await database.pool.connect();
  await reader.query('begin');
  await reader.query('select count(*) from deliveries');
  await expect(dropOldPartitions(database.pool, nowMs, 38)).rejects.toMatchObject({ code: '55P03' });
  await insertDelivery(nowMs, 'pending');
  await reader.query('rollback');
  reader.release();
  expect(await dropOldPartitions(database.pool, nowMs, 38)).not.toEqual([]);
});
