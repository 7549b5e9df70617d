// Partitions come ahead of time, and a row in their way keeps no other day from its own.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { createPartitions } from '../../src/maintenance/partitions.ts';
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
