// The delivery log on a large table: a page costs what it shows, not what the log holds.
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idFloor } from '../../src/domain/ids.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { type DeliveryFilter, upTo } from '../../src/persistence/queries/delivery-filter.ts';
import { countDeliveries, type DeliveryWindow, listDeliveries } from '../../src/persistence/queries/list-deliveries.ts';
import { indexFor, lookDown, type Reach } from '../../src/persistence/queries/look-down.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const ROWS = 50_000;
const DAY_MS = 86_400_000;
const BUSY = `webhook_${'1'.padStart(26, '0')}`;
const QUIET = `webhook_${'6'.padStart(26, '0')}`;

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool(database.config, () => {}, { limits: { statementTimeoutMs: 60_000, queryTimeoutMs: 60_000 } });
  // A week up to today's noon, whatever the time is: a partition with a few rows only would rightly be read whole. Twenty webhooks of
  // five users; half of all belongs to one webhook.
  await pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 8, 8)`);
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select 'webhook_' || lpad(i::text, 26, '0'), 'user' || i % 5, 'https://example.com', '["order.created"]', 's', 'h'
     from generate_series(1, 20) i`,
  );
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, next_attempt_at, failed_at, cancelled_at,
       error_code, http_status)
     select overlay(id_floor('delivery', t) placing lpad(i::text, 16, '0') from 20),
       overlay(id_floor('event', t) placing lpad(i::text, 16, '0') from 17), 'webhook_' || lpad(w::text, 26, '0'), 'user' || w % 5,
       case when i % 5000 = 0 then 'tip.received' else 'order.created' end,
       status, case status when 'retrying' then t when 'pending' then t end, case status when 'failed' then t end,
       case status when 'cancelled' then t end, case status when 'failed' then 'http_status' end,
       case status when 'failed' then 500 when 'delivered' then 200 end
     from (select i, case when i % 500 = 0 then 'failed' when i % 5001 = 0 then 'cancelled' when i % 5002 = 0 then 'pending'
         when i % 5003 = 0 then 'retrying' else 'delivered' end as status,
        date_trunc('day', now(), 'utc') + interval '12 hours' - i * interval '12 seconds' as t, case when i % 2 = 0 then 1 else i % 20 + 1 end as w
       from generate_series(1, $1::integer) i) s`,
    [ROWS],
  );
  await pool.query('vacuum analyze deliveries');
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const everything: DeliveryFilter = {
  userId: null,
  webhookIds: [],
  statuses: [],
  httpStatus: null,
  errorCode: null,
  eventType: null,
  eventId: null,
  fromId: null,
  belowId: null,
  along: 'webhooks',
};
const upToEntries = (max: number): Reach => ({ maxEntries: max, maxRows: max });
const firstPage: DeliveryWindow = { limit: 21, offset: 0, order: 'desc' };

test.each<[string, Partial<DeliveryFilter>]>([
  ['a user', { userId: 'user1' }],
  ['one webhook', { userId: 'user1', webhookIds: [BUSY] }],
  ['failed ones of a user', { userId: 'user1', statuses: ['failed'] }],
  ['cancelled ones of a user', { userId: 'user1', statuses: ['cancelled'] }],
  ['pending ones of a user', { userId: 'user1', statuses: ['pending'] }],
  ['pending ones of everyone', { statuses: ['pending'] }],
  ['retrying ones of a user', { userId: 'user1', statuses: ['retrying'] }],
  ['a rare type of a webhook', { userId: 'user1', webhookIds: [BUSY], eventType: 'tip.received' }],
  ['a time', { userId: 'user1', fromId: idFloor('delivery', Date.now() - DAY_MS) }],
  ['an event', { userId: 'user1', eventId: idFloor('event', Date.now() - DAY_MS) }],
  ['everyone', {}],
  ['failed ones of everyone', { statuses: ['failed'] }],
  ['failed and retried ones of a user', { userId: 'user1', statuses: ['failed', 'retrying'] }],
  ['all but delivered ones of everyone', { statuses: ['pending', 'retrying', 'failed', 'cancelled'] }],
  ['two webhooks', { userId: 'user1', webhookIds: [BUSY, QUIET] }],
])('pages and totals of %s read no partition from end to end', async (_name, narrowed) => {
  const filter = { ...everything, ...narrowed };
  for (const plan of [
    await planOf((explaining) => listDeliveries(explaining, filter, firstPage)),
    await planOf((explaining) => countDeliveries(explaining, filter, 10_001)),
    await planOf((explaining) => lookDown(explaining, filter, upToEntries(10_000))),
    await planOf((explaining) => listDeliveries(explaining, filter, { ...firstPage, order: 'asc' })),
    await planOf((explaining) => lookDown(explaining, filter, upToEntries(10_000), 'asc')),
  ]) {
    // An empty partition is rightly read whole; one that holds rows is not.
    expect(plan).not.toMatch(/Seq Scan on deliveries_\S+ \S+ \(actual rows=(?!0(\.00)? )/);
    expect(plan).not.toMatch(/Seq Scan on deliveries_[^\n]*\n\s+Filter[^\n]*\n\s+Rows Removed/);
  }
});

test('a page in the middle of the log fetches little more than itself', async () => {
  const belowId = idFloor('delivery', Date.now() - 3 * DAY_MS);
  const filter = { ...everything, userId: 'user1', belowId };
  const page = await listDeliveries(pool, filter, firstPage);
  expect(page).toHaveLength(21);
  const plan = await planOf((explaining) => listDeliveries(explaining, filter, firstPage));
  const read = [...plan.matchAll(/on deliveries_20\d+ \S+ \(actual rows=([\d.]+) loops=(\d+)\)/g)].reduce(
    (sum, [, rows, loops]) => sum + Number(rows) * Number(loops),
    0,
  );
  expect(read).toBeGreaterThan(20);
  expect(read).toBeLessThan(400);
});

test.each<[string, Partial<DeliveryFilter>]>([
  ['a type that nothing has', { userId: 'user1', eventType: 'chef.approved' }],
  ['a type of one webhook that nothing has', { userId: 'user1', webhookIds: [BUSY], eventType: 'chef.approved' }],
  ['a type that nothing of everyone has', { eventType: 'chef.approved' }],
  ['an answer that no receiver of a user gave', { userId: 'user1', httpStatus: 503 }],
  ['an error that nothing of everyone had', { errorCode: 'timeout' }],
  [
    'failed and delivered ones of two webhooks with an error that nothing had',
    { webhookIds: [BUSY, QUIET], statuses: ['failed', 'delivered'], errorCode: 'timeout' },
  ],
  ['delivered ones of a type that nothing has', { userId: 'user1', statuses: ['delivered'], eventType: 'chef.approved' }],
])('a page of %s looks at no more than it may', async (_name, narrowed) => {
  const max = 1000;
  const filter = { ...everything, ...narrowed };
  const reach = await lookDown(pool, filter, upToEntries(max));
  expect(reach).not.toBeNull();
  const look = await planOf((explaining) => lookDown(explaining, filter, upToEntries(max)));
  const entries = [...look.matchAll(/on deliveries_20\d+ \S+ \(actual rows=([\d.]+) loops=(\d+)\)/g)];
  expect(entries.reduce((sum, [, rows, loops]) => sum + Number(rows) * Number(loops), 0)).toBeLessThanOrEqual(max + 20);
  // Index entries that fail a condition are in no count of a plan. The thousand youngest of a webhook that gets 300 an hour, or fewer of
  // each of four, lie in the last day or two; the log has a week.
  const daysOf = (plan: string) =>
    new Set([...plan.matchAll(/on (deliveries_20\d+) \S+ \(actual/g)].map(([, name]) => name)).size;
  const list = (fromId: string | null) =>
    planOf((explaining) =>
      listDeliveries(explaining, { ...filter, fromId, belowId: idFloor('delivery', Date.now() + DAY_MS) }, firstPage),
    );
  expect(daysOf(await list(reach))).toBeLessThanOrEqual(3);
  expect(daysOf(await list(null))).toBeGreaterThanOrEqual(7);
});

test.each<[string, Partial<DeliveryFilter>]>([
  ['an error that few of a user had', { userId: 'user1', errorCode: 'http_status' }],
  ['an error that nothing of a webhook had', { userId: 'user1', webhookIds: [BUSY], errorCode: 'timeout' }],
  ['a status that nothing of everyone had', { httpStatus: 503 }],
  ['failed ones of a type with a status', { statuses: ['failed'], eventType: 'order.created', httpStatus: 500 }],
])('pages and totals of %s are found among what has an error', async (_name, narrowed) => {
  const filter: DeliveryFilter = { ...everything, ...narrowed, along: 'errors' };
  expect(await indexFor(pool, filter)).toBe('errors');
  for (const plan of [
    await planOf((explaining) => listDeliveries(explaining, filter, firstPage)),
    await planOf((explaining) => countDeliveries(explaining, filter, 10_001)),
    await planOf((explaining) => lookDown(explaining, filter, upToEntries(10))),
    await planOf((explaining) => lookDown(explaining, filter, upToEntries(10), 'asc')),
  ]) {
    const used = [...plan.matchAll(/using (deliveries_20\d+\S+) on/g)].map(([, index]) => index);
    // The page itself is fetched by the ids that were found.
    expect(used.filter((index) => !/_(error_code_id_webhook_id_user_id_idx|pkey)$/.test(index ?? ''))).toEqual([]);
    expect(used.some((index) => index?.includes('_error_code_'))).toBe(true);
  }
});

test('a look among errors ends behind so many entries, and behind so many rows where those are read', async () => {
  const filter: DeliveryFilter = { ...everything, errorCode: 'http_status', along: 'errors' };
  const { rows } = await pool.query<{ id: string }>(
    `select id from deliveries where error_code = 'http_status' order by id desc limit 31`,
  );
  const reach = { maxEntries: 30, maxRows: 7 };
  expect(await lookDown(pool, filter, reach)).toBe(rows[30]?.id);
  expect(await lookDown(pool, { ...filter, statuses: ['failed'] }, reach)).toBe(rows[7]?.id);
  // All of them belong to one webhook: of another, nothing is read, and the look among everyone's ends it.
  expect(await lookDown(pool, { ...filter, webhookIds: [QUIET], statuses: ['failed'] }, reach)).toBe(rows[30]?.id);
  expect(await lookDown(pool, { ...filter, errorCode: 'timeout' }, reach)).toBeNull();
});

test('a look from the oldest on ends as soon, and a page from there looks no further', async () => {
  const max = 1000;
  const filter: DeliveryFilter = { ...everything, userId: 'user1', eventType: 'chef.approved' };
  const reach = await lookDown(pool, filter, upToEntries(max), 'asc');
  const look = await planOf((explaining) => lookDown(explaining, filter, upToEntries(max), 'asc'));
  const entries = [...look.matchAll(/on deliveries_20\d+ \S+ \(actual rows=([\d.]+) loops=(\d+)\)/g)];
  expect(entries.reduce((sum, [, rows, loops]) => sum + Number(rows) * Number(loops), 0)).toBeLessThanOrEqual(max + 20);
  const plan = await planOf((explaining) =>
    listDeliveries(explaining, upTo(filter, reach, 'asc'), { ...firstPage, order: 'asc' }),
  );
  const days = [...plan.matchAll(/on (deliveries_20\d+) \S+ \(actual rows/g)].map(([, name]) => name);
  expect(new Set(days).size).toBeLessThanOrEqual(3);
});

test('the total is counted no further than asked', async () => {
  const filter = { ...everything, userId: 'user1' };
  expect(await countDeliveries(pool, filter, 1001)).toBe(1001);
  expect(await countDeliveries(pool, { ...filter, statuses: ['failed'] }, 1001)).toBe(100);
});

/** The plan of the statement that a call makes, as it ran. */
async function planOf(call: (pool: Pool) => Promise<unknown>): Promise<string> {
  const plans: string[] = [];
  const explaining = {
    async query(text: string, values: unknown[]) {
      const explained = await pool.query(`explain (analyze, costs off, timing off, summary off) ${text}`, values);
      plans.push(explained.rows.map((row) => row['QUERY PLAN']).join('\n'));
      return pool.query(text, values);
    },
  };
  await call(explaining as unknown as Pool);
  return plans.join('\n');
}
