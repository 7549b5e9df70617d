// Collapse keys on the real statements: the newest is the only one that is sent, and no request begins while that of an older one may be under way.
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { chainOf } from '../../src/domain/chain.ts';
import { createOrm } from '../../src/persistence/orm.ts';
import { confirmDeliveries } from '../../src/persistence/queries/confirm-deliveries.ts';
import { expireDelivery } from '../../src/persistence/queries/expire-deliveries.ts';
import { insertEvents, type EventRow } from '../../src/persistence/queries/insert-events.ts';
import { loadDeliveries } from '../../src/persistence/queries/load-deliveries.ts';
import { clearFlights, expireCollapseHeads, expireHeads, listTurns } from '../../src/persistence/queries/ordering-heads.ts';
import { recordOutcomes, type OutcomeRow } from '../../src/persistence/queries/record-outcomes.ts';
import { retryDelivery } from '../../src/persistence/queries/retry-delivery.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const WEBHOOK = 'webhook_00000000000000000000000001';
const OTHER = 'webhook_00000000000000000000000002';
const KEY = { collapseKey: 'courier-1' };
const CHAIN = chainOf({ eventType: 'order.created', orderingKey: null, ...KEY }) ?? '';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool.query(
    'truncate webhook_endpoints, deliveries, events, attempts, ordering_heads, collapse_heads, late_changes, processes',
  );
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
  await insertWebhook(pool, WEBHOOK);
});

/** Commits an event for each, as a process that sends what it commits. */
async function publish(...events: Partial<EventRow>[]) {
  const rows = events.map(eventRow);
  const lease = { leaseMs: 45_000, holder: 17, events: rows.map(() => true), fullWebhookIds: [], fullUserIds: [] };
  const { deliveries, superseded } = await insertEvents(pool, rows, lease);
  return { made: rows.flatMap(({ id }) => deliveries.get(id) ?? []), superseded };
}
async function publishOne(own: Partial<EventRow> = KEY): Promise<string> {
  const { made } = await publish(own);
  return made[0]?.deliveryId ?? '';
}

async function statesOf() {
  const { rows } = await pool.query<{ state: string; isDue: boolean; isOpen: boolean }>(
    `select case when status = 'cancelled' then cancel_reason else status end as state, coalesce(next_attempt_at <= now(), false) as "isDue",
       next_attempt_at is not null as "isOpen"
     from deliveries order by webhook_id, ordering_key, sequence`,
  );
  return rows.map(({ state, isDue, isOpen }) => (isOpen ? `${state}, ${isDue ? 'due' : 'later'}` : state));
}
const outcome = (deliveryId: string, own: Partial<OutcomeRow> = {}): OutcomeRow =>
  outcomeRow(deliveryId, { webhookId: WEBHOOK, orderingKey: CHAIN, ...own });
const FAILURE = { status: 'retrying', httpStatus: 500, errorCode: 'http_status', delayMs: 60_000 } as const;
/** As a process does that sends: it claimed it from Redis, and its lease does not stand in the row. */
const claims = () =>
  pool.query(`insert into processes (id, seen_at, claims, is_served, claimed_at) values ('p', now(), true, true, now())`);
/** As a process does that claims from PostgreSQL. */
const lease = (deliveryId: string) =>
  pool.query(`update deliveries set leased_until = now() + interval '45 seconds' where id = $1`, [deliveryId]);

async function byHand<Result>(run: (transaction: Parameters<typeof retryDelivery>[0]) => Promise<Result>): Promise<Result> {
  const orm = await createOrm(database.config, () => undefined);
  try {
    return await orm.em.fork().transactional(run);
  } finally {
    await orm.close(true);
  }
}

test('a delivery with a collapse key is due at once, by its row and not by a lease on insert', async () => {
  const { made, superseded } = await publish(KEY);
  expect(made).toMatchObject([{ isLeased: false, isHeld: false, endedAs: null }]);
  expect(superseded).toEqual([]);
  expect(await statesOf()).toEqual(['pending, due']);
  expect(await listTurns(pool, [{ webhookId: WEBHOOK, orderingKey: CHAIN }])).toMatchObject([
    { deliveryId: made[0]?.deliveryId },
  ]);
});

test.each([
  ['waits for a retry', `status = 'retrying', attempt_count = 1, next_attempt_at = now() + interval '1 hour'`],
  ['was held for a while', `held_at = now() - interval '1 hour', next_attempt_at = null`],
  ['is due, and no process uses Redis', ''],
])('the newest goes at once where the one before %s', async (_, change) => {
  const before = await publishOne();
  if (change !== '') await pool.query(`update deliveries set ${change}`);
  const { superseded } = await publish(KEY);
  expect(superseded).toMatchObject([
    {
      id: before,
      status: 'cancelled',
      cancelReason: 'superseded',
      collapseKey: 'courier-1',
      orderingKey: null,
      sequence: null,
    },
  ]);
  expect(await statesOf()).toEqual(['superseded', 'pending, due']);
});

test('while a request of the one before may be under way, the newest waits, and only the newest', async () => {
  const first = await publishOne();
  await lease(first);
  await publishOne();
  await publishOne();
  expect(await statesOf()).toEqual(['superseded', 'superseded', 'pending, later']);
  await recordOutcomes(pool, [outcome(first)]);
  expect(await statesOf()).toEqual(['delivered', 'superseded', 'pending, due']);
});

test('a failure of what was superseded under way is no reason to send it again', async () => {
  const first = await publishOne();
  await lease(first);
  await publishOne();
  await recordOutcomes(pool, [outcome(first, FAILURE)]);
  expect(await statesOf()).toEqual(['superseded', 'pending, due']);
});

test('what may be leased in Redis is under way until a claim finds it ended; then the newest has its place in the line', async () => {
  await claims();
  const first = await publishOne();
  await pool.query(`update deliveries set created_at = now() - interval '1 minute'`);
  await publishOne();
  expect(await statesOf()).toEqual(['superseded', 'pending, later']);
  const [loaded] = await loadDeliveries(pool, [{ deliveryId: first, token: 0 }]);
  expect(loaded).toMatchObject({ waitMs: null, ordering: null, chain: CHAIN });
  await clearFlights(pool, [{ deliveryId: first, webhookId: WEBHOOK, orderingKey: CHAIN, token: 1 }]);
  expect(await statesOf()).toEqual(['superseded', 'pending, due']);
  const { rows } = await pool.query(
    `select next_attempt_at < now() - interval '50 seconds' as first from deliveries where status = 'pending'`,
  );
  expect(rows).toEqual([{ first: true }]);
});

test('a claim that holds the lease in the row of what was superseded lets the newest go, and no other claim does', async () => {
  const first = await publishOne();
  await lease(first);
  const { rows } = await pool.query<{ ms: number }>(
    'select (extract(epoch from leased_until) * 1000)::float8 as ms from deliveries',
  );
  await publishOne();
  const ended = { deliveryId: first, webhookId: WEBHOOK, orderingKey: CHAIN };
  await clearFlights(pool, [{ ...ended, token: 1 }]);
  expect(await statesOf()).toEqual(['superseded', 'pending, later']);
  await clearFlights(pool, [{ ...ended, token: rows[0]?.ms ?? 0 }]);
  expect(await statesOf()).toEqual(['superseded', 'pending, due']);
});

test('of one batch only the newest of a key is sent, and it supersedes what was there before', async () => {
  const before = await publishOne();
  const { made, superseded } = await publish(KEY, { collapseKey: 'courier-2' }, KEY, {}, KEY);
  expect(made.map(({ endedAs }) => endedAs)).toEqual(['superseded', null, 'superseded', null, null]);
  expect(superseded.map(({ id }) => id)).toEqual([before]);
  expect((await statesOf()).toSorted()).toEqual([
    'pending',
    'pending, due',
    'pending, due',
    'superseded',
    'superseded',
    'superseded',
  ]);
});

test('other webhooks, types and keys are left alone', async () => {
  await insertWebhook(pool, OTHER, { userId: 'user_2' });
  await pool.query(`update webhook_endpoints set events = '["order.created","order.completed"]'`);
  await publishOne();
  await publishOne({ collapseKey: 'courier-2' });
  await publishOne({ ...KEY, eventType: 'order.completed' });
  await publishOne({ ...KEY, userIds: ['user_2'] });
  expect(await statesOf()).toEqual(Array.from({ length: 4 }, () => 'pending, due'));
});

test('with an ordering key the newest supersedes among that key alone, and waits in its order', async () => {
  await pool.query(`update webhook_endpoints set ordering = 'key'`);
  const { made } = await publish(
    { orderingKey: 'a' },
    { orderingKey: 'a', ...KEY },
    { orderingKey: 'b', ...KEY },
    { orderingKey: 'a' },
  );
  const { superseded } = await publish({ orderingKey: 'a', ...KEY });
  expect(superseded).toMatchObject([{ id: made[1]?.deliveryId, orderingKey: 'a', sequence: 2 }]);
  expect(await statesOf()).toEqual(['pending', 'superseded', 'pending', 'pending', 'pending, due']);
});

test('an ordering key without ordering: only what has a collapse key as well waits', async () => {
  const { made } = await publish({ orderingKey: 'a' }, { orderingKey: 'a', ...KEY }, { orderingKey: 'a' });
  expect(made.map(({ ordering }) => ordering?.waits)).toEqual([null, false, null]);
  expect(made.map(({ isLeased }) => isLeased)).toEqual([true, false, true]);
});

test('what comes too late supersedes all the same, and is not sent', async () => {
  const before = await publishOne();
  const { made, superseded } = await publish({ ...KEY, deliverBeforeMs: 0 });
  expect(made).toMatchObject([{ endedAs: 'expired' }]);
  expect(superseded.map(({ id }) => id)).toEqual([before]);
  expect(await statesOf()).toEqual(['superseded', 'expired']);
});

test('one that expires under way keeps the newest waiting until its request has ended', async () => {
  const first = await publishOne();
  await lease(first);
  await pool.query('update deliveries set deliver_before = now()');
  await expireDelivery(pool, first);
  await publishOne();
  expect(await statesOf()).toEqual(['expired', 'pending, later']);
  await recordOutcomes(pool, [outcome(first)]);
  expect(await statesOf()).toEqual(['delivered', 'pending, due']);
});

test('a webhook that skips gaps gets no older one after a newer one: a retry keeps its turn', async () => {
  await pool.query(`update webhook_endpoints set ordering = 'key', ordering_gap = 'skip'`);
  const own = { orderingKey: 'a', ...KEY };
  const first = await publishOne(own);
  await recordOutcomes(pool, [outcomeRow(first, { webhookId: WEBHOOK, orderingKey: 'a', ...FAILURE, delayMs: 0 })]);
  await lease(first);
  await publishOne(own);
  expect(await statesOf()).toEqual(['superseded', 'pending, later']);
});

test('only the newest is sent again by hand, and while that may be under way a newer one waits', async () => {
  const older = await publishOne();
  await recordOutcomes(pool, [outcome(older)]);
  const newest = await publishOne();
  await recordOutcomes(pool, [outcome(newest, { ...FAILURE, status: 'failed', delayMs: null })]);
  expect(await byHand((transaction) => retryDelivery(transaction, older))).toBeUndefined();
  expect(await byHand((transaction) => retryDelivery(transaction, newest))).toMatchObject({ status: 'retrying' });
  expect(await statesOf()).toEqual(['delivered', 'retrying, due']);
  await lease(newest);
  await publishOne();
  expect(await statesOf()).toEqual(['delivered', 'superseded', 'pending, later']);
  await recordOutcomes(pool, [outcome(newest, { attemptCount: 1, trigger: 'manual' })]);
  expect(await statesOf()).toEqual(['delivered', 'delivered', 'pending, due']);
});

test('a retry by hand that comes at the same time as a newer event is refused once that is committed', async () => {
  const first = await publishOne();
  await recordOutcomes(pool, [outcome(first)]);
  const client = await pool.connect();
  await client.query('begin');
  await client.query('select from ordering_heads for update');
  const retried = byHand((transaction) => retryDelivery(transaction, first));
  await eventually(async () => {
    const { rowCount } = await pool.query('select 1 from pg_locks where not granted');
    return rowCount !== 0;
  });
  await client.query(`update collapse_heads set newest_id = 'delivery_newer'`);
  await client.query('commit');
  client.release();
  expect(await retried).toBeUndefined();
});

test('a process that has loaded a delivery does not begin while a transaction is about to supersede it', async () => {
  const first = await publishOne();
  const client = await pool.connect();
  await client.query('begin');
  await client.query('select from deliveries for update');
  expect(await confirmDeliveries(pool, [first])).toEqual(new Set());
  await client.query('commit');
  client.release();
  expect(await confirmDeliveries(pool, [first])).toEqual(new Set([first]));
});

test('a batch without collapse keys has the statement it had, and keys that were silent for long are forgotten', async () => {
  await publishOne();
  expect(await expireCollapseHeads(pool, 8)).toBe(0);
  await pool.query(`update collapse_heads set touched_at = now() - interval '9 days'`);
  expect(await expireCollapseHeads(pool, 8)).toBe(1);
  expect(await expireHeads(pool, 8)).toBe(0);
});
