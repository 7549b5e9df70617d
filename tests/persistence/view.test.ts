// The documented view over a log so large that PostgreSQL reads it with several processes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const DELIVERIES = 300_000;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await fill(DELIVERIES);
}, 120_000);
afterAll(() => database.drop());

test('the view answers over 300,000 deliveries however PostgreSQL spreads the work', async () => {
  const client = await database.pool.connect();
  try {
    await client.query(`set min_parallel_table_scan_size = 0; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
      set max_parallel_workers_per_gather = 2`);
    // Every query that may be spread is: whatever is not said to be unsafe runs beside others.
    const plan = await client.query(`explain select count(*) from deliveries`);
    expect(JSON.stringify(plan.rows)).toContain('Gather');
    const { rows } = await client.query(
      `select count(*)::integer as deliveries, count(payload)::integer as payloads from webhook_deliveries`,
    );
    expect(rows).toEqual([{ deliveries: DELIVERIES, payloads: DELIVERIES - 1 }]);
    const page = await client.query(`select payload from webhook_deliveries where status = 'delivered' order by id limit 3`);
    expect(page.rowCount).toBe(3);
  } finally {
    client.release(true);
  }
}, 120_000);

test('no function that catches errors is said to be safe in parallel plans', async () => {
  const { rows } = await database.pool.query(
    `select proname from pg_proc
     where pronamespace = 'public'::regnamespace and prosrc ~* '\\mexception\\s+when\\M' and proparallel <> 'u'`,
  );
  expect(rows).toEqual([]);
});

// One of the payloads is of those that jsonb refuses.
async function fill(deliveries: number): Promise<void> {
  await database.pool.query(
    `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
     select replace(id_floor('event', now()), repeat('0', 16), lpad(n::text, 16, '0')), 'order.created',
       case n when 1 then '{"text":"a\\u0000b"}' else '{"number":' || n || '}' end, now(), 'test', '{}', false
     from generate_series(1, $1::integer) n`,
    [deliveries],
  );
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, delivered_at)
     select 'delivery_' || substr(id, 7), id, 'webhook_00000000000000000000000001', 'alice', event_type, 'delivered', 1, now() from events`,
  );
  await database.pool.query('analyze events');
  await database.pool.query('analyze deliveries');
}
