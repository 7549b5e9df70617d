// Partitions come ahead of time, and a row in their way keeps no other day from its own.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { createPartitions } from '../../src/maintenance/partitions.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const DAY_MS = 86_400_000;
const nowMs = Date.now();
let database: TestDatabase;
let messages: string[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  messages = [];
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

test('the coming days have partitions, and making them again makes nothing', async () => {
  await createPartitions(database.pool, nowMs + 5 * DAY_MS, (message) => messages.push(message));
  expect(await partitions()).toEqual(
    expect.arrayContaining(['events', 'deliveries', 'attempts'].map((parent) => nameOf(parent, nowMs + 12 * DAY_MS))),
  );
  expect(await createPartitions(database.pool, nowMs + 5 * DAY_MS, (message) => messages.push(message))).toBe(0);
});

test('a row in the way of a partition is moved into it, whole, and logged', async () => {
  const dayMs = nowMs + 20 * DAY_MS;
  const [delivery, event] = [newId('delivery', dayMs), newId('event', dayMs)];
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at, response)
     values ($1, $2, 'webhook_1', 'u', 'order.created', now(), 'kept as it is')`,
    [delivery, event],
  );
  await database.pool.query(
    `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast) values ($1, 'order.created', '{}', now(), 'p', '{}', false)`,
    [event],
  );
  await database.pool.query(
    `insert into attempts (delivery_id, number, started_at, duration_ms, trigger) values ($1, 1, now(), 1, 'automatic')`,
    [delivery],
  );
  const rowsBefore = await rowOf(delivery);
  await createPartitions(database.pool, nowMs + 16 * DAY_MS, (message) => messages.push(message));
  expect(await partitions()).toEqual(
    expect.arrayContaining(
      ['events', 'deliveries', 'attempts'].flatMap((parent) => [nameOf(parent, dayMs), nameOf(parent, dayMs + DAY_MS)]),
    ),
  );
  expect(await rowOf(delivery)).toEqual({ ...rowsBefore, place: nameOf('deliveries', dayMs) });
  expect(messages).toEqual(
    ['events', 'deliveries', 'attempts'].map(
      (parent) => expect.stringContaining(`1 rows of ${nameOf(parent, dayMs)}`) as unknown,
    ),
  );
  for (const parent of ['events', 'deliveries', 'attempts']) {
    expect((await database.pool.query(`select 1 from ${parent}_default`)).rowCount).toBe(0);
  }
  // Its indexes and the room in its pages are those of any other partition.
  expect(await shapeOf(nameOf('deliveries', dayMs))).toEqual(await shapeOf(nameOf('deliveries', dayMs + DAY_MS)));
});

async function rowOf(id: string): Promise<Record<string, unknown>> {
  const { rows } = await database.pool.query('select *, tableoid::regclass::text as place from deliveries where id = $1', [id]);
  return rows[0] as Record<string, unknown>;
}

async function shapeOf(partition: string): Promise<unknown> {
  const { rows } = await database.pool.query(
    `select c.reloptions, array(select regexp_replace(pg_get_indexdef(i.indexrelid), 'INDEX .* ON .* USING', '') from pg_index i
       where i.indrelid = c.oid order by 1) as indexes,
       array(select attname || ' ' || attnotnull || ' ' || atthasdef from pg_attribute a where a.attrelid = c.oid and attnum > 0 order by 1) as columns,
       array(select pg_get_constraintdef(oid) from pg_constraint where conrelid = c.oid order by 1) as constraints
     from pg_class c where c.oid = $1::regclass`,
    [partition],
  );
  return rows[0];
}
