// The order of a key, on the real statements: numbers without holes, one at a time, and a turn that is always passed on.
import type { Pool, PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { cancelDeliveries } from '../../src/persistence/queries/cancel-deliveries.ts';
import { clearFlights, expireHeads, listTurns } from '../../src/persistence/queries/ordering-heads.ts';
import { expireDelivery } from '../../src/persistence/queries/expire-deliveries.ts';
import { Hold } from '../../src/persistence/delivery-state.ts';
import { holdDeliveries } from '../../src/persistence/queries/hold-deliveries.ts';
import { insertEvents, type EventRow, type InsertedDelivery } from '../../src/persistence/queries/insert-events.ts';
import { loadDeliveries } from '../../src/persistence/queries/load-deliveries.ts';
import { recordOutcomes, type OutcomeRow } from '../../src/persistence/queries/record-outcomes.ts';
import { stepRelease } from '../../src/persistence/queries/release-step.ts';
import { retryDelivery } from '../../src/persistence/queries/retry-delivery.ts';
import { scheduleExpired } from '../../src/persistence/queries/schedule-expired.ts';
import { createOrm } from '../../src/persistence/orm.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const LEASE_MS = 45_000;
const WEBHOOK = 'webhook_00000000000000000000000001';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool.query('truncate webhook_endpoints, deliveries, events, attempts, ordering_heads, idempotency_keys, processes');
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
  await insertWebhook(pool, WEBHOOK, { ordering: 'key' });
});

/** Commits an event for each key, as a process that sends what it commits. */
async function publish(keys: readonly (string | null)[], client: Pool | PoolClient = pool, own: Partial<EventRow> = {}) {
  const events = keys.map((orderingKey) => eventRow({ orderingKey, ...own }));
  const lease = { leaseMs: LEASE_MS, holder: 17, events: events.map(() => true), fullWebhookIds: [], fullUserIds: [] };
  const { deliveries } = await insertEvents(client as Pool, events, lease);
  return events.flatMap(({ id }) => deliveries.get(id) ?? []);
}

const outcome = ({ deliveryId }: { deliveryId: string }, orderingKey: string, own: Partial<OutcomeRow> = {}): OutcomeRow =>
  outcomeRow(deliveryId, { webhookId: WEBHOOK, orderingKey, ...own });
const retrying = { status: 'retrying', delayMs: 60_000, httpStatus: 500, errorCode: 'http_status', usesRetry: true } as const;

interface Row {
  sequence: number;
  waits: boolean | null;
  status: string;
  isDue: boolean;
}

async function rowsOf(orderingKey: string): Promise<Row[]> {
  const { rows } = await pool.query<Row>(
    `select sequence::integer, waits, status, coalesce(next_attempt_at <= now(), false) as "isDue"
     from deliveries where webhook_id = $1 and ordering_key = $2 order by sequence`,
    [WEBHOOK, orderingKey],
  );
  return rows;
}

const numbers = (deliveries: readonly InsertedDelivery[]) => deliveries.map(({ ordering }) => ordering?.sequence);

test('deliveries of a key are numbered without holes in the order of their commits, and only the first is leased', async () => {
  const first = await publish(['a', 'b', 'a', null]);
  const second = await publish(['a', 'b']);
  expect(numbers([...first, ...second])).toEqual([1, 1, 2, undefined, 3, 2]);
  expect(first.map(({ ordering }) => ordering?.waits)).toEqual([false, false, true, undefined]);
  expect(first.map(({ isLeased, isHeld }) => [isLeased, isHeld])).toEqual([
    [true, false],
    [true, false],
    [false, false],
    [true, false],
  ]);
});

test('a commit that is rolled back and a repeated event leave no hole', async () => {
  const client = await pool.connect();
  await client.query('begin');
  await publish(['a'], client);
  await client.query('rollback');
  client.release();
  const own = { idempotencyKey: 'k', requestHash: 'h' };
  expect(numbers(await publish(['a'], pool, own))).toEqual([1]);
  expect(numbers(await publish(['a'], pool, own))).toEqual([]);
  expect(numbers(await publish(['a']))).toEqual([2]);
});

test('a webhook without ordering gets the numbers, and nothing of it waits', async () => {
  await pool.query(`update webhook_endpoints set ordering = 'none'`);
  const published = await publish(['a', 'a']);
  expect(numbers(published)).toEqual([1, 2]);
  expect(published.map(({ isLeased }) => isLeased)).toEqual([true, true]);
  expect(await rowsOf('a')).toMatchObject([{ waits: null }, { waits: null }]);
});

test('ordering that is turned on holds from the next commit on', async () => {
  await pool.query(`update webhook_endpoints set ordering = 'none'`);
  await publish(['a']);
  await pool.query(`update webhook_endpoints set ordering = 'key'`);
  const published = await publish(['a', 'a']);
  expect(published.map(({ ordering }) => ordering)).toEqual([
    { sequence: 2, waits: false },
    { sequence: 3, waits: true },
  ]);
});

test('a success lets the next of its key go in the same statement, and no other', async () => {
  const [first, other] = await publish(['a', 'b', 'a', 'a', 'b']);
  await recordOutcomes(pool, [outcome(first!, 'a')]);
  expect(await rowsOf('a')).toMatchObject([
    { status: 'delivered' },
    { waits: false, isDue: true, status: 'pending' },
    { waits: true, isDue: false },
  ]);
  expect(await rowsOf('b')).toMatchObject([{ waits: false }, { waits: true }]);
  expect(await listTurns(pool, [{ webhookId: WEBHOOK, orderingKey: 'a' }])).toHaveLength(1);
  await recordOutcomes(pool, [outcome(other!, 'b', { status: 'failed', errorCode: 'http_status', httpStatus: 400 })]);
  expect(await rowsOf('b')).toMatchObject([{ status: 'failed' }, { waits: false, isDue: true }]);
});

test('an outcome that was fenced off lets nothing go', async () => {
  const [first] = await publish(['a', 'a', 'a']);
  await recordOutcomes(pool, [outcome(first!, 'a')]);
  await recordOutcomes(pool, [outcome(first!, 'a', { attemptCount: 0 })]);
  expect(await rowsOf('a')).toMatchObject([{ status: 'delivered' }, { waits: false }, { waits: true }]);
});

test('a failure with a retry left keeps the others waiting', async () => {
  const [first] = await publish(['a', 'a']);
  await recordOutcomes(pool, [outcome(first!, 'a', retrying)]);
  expect(await rowsOf('a')).toMatchObject([{ status: 'retrying' }, { waits: true }]);
});

test('with the gap "skip" the first failure lets the next go, and later outcomes of the old one let nothing go', async () => {
  await pool.query(`update webhook_endpoints set ordering_gap = 'skip'`);
  const [first] = await publish(['a', 'a', 'a']);
  await recordOutcomes(pool, [
    outcome(first!, 'a', { ...retrying, errorCode: 'shutdown', httpStatus: null, usesRetry: false }),
  ]);
  expect(await rowsOf('a')).toMatchObject([{ status: 'retrying' }, { waits: true }, { waits: true }]);
  await recordOutcomes(pool, [outcome(first!, 'a', { ...retrying, attemptCount: 1 })]);
  expect(await rowsOf('a')).toMatchObject([{ status: 'retrying' }, { waits: false, isDue: true }, { waits: true }]);
  await recordOutcomes(pool, [outcome(first!, 'a', { attemptCount: 2 })]);
  expect(await rowsOf('a')).toMatchObject([{ status: 'delivered' }, { waits: false }, { waits: true }]);
});

test('what waits is not given out by a load, and no sweep takes it for a lease that ran out', async () => {
  const published = await publish(['a', 'a']);
  const [, waiting] = await loadDeliveries(
    pool,
    published.map(({ deliveryId }) => ({ deliveryId, token: 0 })),
  ).then((rows) => rows.toSorted((a, b) => (a.ordering?.sequence ?? 0) - (b.ordering?.sequence ?? 0)));
  expect(waiting).toMatchObject({ waitMs: null, ordering: { key: 'a', sequence: 2 }, chain: 'a' });
  const age = idAge();
  await pool.query(age);
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '3 hours')`);
  await scheduleExpired(pool, { leaseMs: 1000, max: 1000 });
  expect(await rowsOf('a')).toMatchObject([
    { waits: false, isDue: true },
    { waits: true, isDue: false },
  ]);
});

/** All deliveries become an hour older, by their ids. */
function idAge(): string {
  return `with old as (
      update deliveries set id = overlay(id placing substr(id_floor('delivery', now() - interval '1 hour'), 10, 10) from 10), created_at = created_at - interval '1 hour',
        leased_until = null returning 1)
    update ordering_heads h set turn_id = overlay(turn_id placing substr(id_floor('delivery', now() - interval '1 hour'), 10, 10) from 10)`;
}

test('a closed webhook loses what waits as well, and its keys are free again', async () => {
  await publish(['a', 'a', 'b', 'a']);
  await pool.query('update webhook_endpoints set is_active = false');
  await cancelDeliveries(pool, WEBHOOK, 1000, false);
  expect(await rowsOf('a')).toMatchObject([{ status: 'cancelled' }, { status: 'cancelled' }, { status: 'cancelled' }]);
  const { rows } = await pool.query('select turn_id from ordering_heads');
  expect(rows).toEqual([{ turn_id: null }, { turn_id: null }]);
});

test('after a delivery was cancelled under way, the next of its key is not due before its request has ended', async () => {
  await publish(['a']);
  await pool.query('update webhook_endpoints set is_active = false');
  await cancelDeliveries(pool, WEBHOOK, 1000, false);
  await pool.query('update webhook_endpoints set is_active = true');
  const [next] = await publish(['a']);
  expect(next).toMatchObject({ isLeased: false, ordering: { sequence: 2, waits: false } });
  const { rows } = await pool.query(
    `select next_attempt_at > now() + interval '40 seconds' as late from deliveries where id = $1`,
    [next?.deliveryId],
  );
  expect(rows).toEqual([{ late: true }]);
});

/** Cancels a delivery of the webhook, as its closing does, and opens the webhook again. */
async function cancelAll(): Promise<void> {
  await pool.query('update webhook_endpoints set is_active = false');
  await cancelDeliveries(pool, WEBHOOK, 1000, false);
  await pool.query('update webhook_endpoints set is_active = true');
}
const redisServes = () =>
  pool.query(`insert into processes (id, seen_at, claims, is_served, claimed_at) values ('p', now(), true, true, now())`);

test.each([
  ['success', {}],
  ['failure', { status: 'retrying', httpStatus: 500, errorCode: 'http_status', delayMs: 60_000 }],
] as const)(
  'the %s of a request whose delivery was cancelled under way lets the next of its key go at once',
  async (_, own) => {
    const [first] = await publish(['a']);
    await cancelAll();
    const [next] = await publish(['a', 'a']);
    expect(await rowsOf('a')).toMatchObject([{ status: 'cancelled' }, { isDue: false, waits: false }, { waits: true }]);
    await recordOutcomes(pool, [outcome(first!, 'a', own)]);
    expect(await rowsOf('a')).toMatchObject([{}, { isDue: true, waits: false }, { waits: true }]);
    expect(await listTurns(pool, [{ webhookId: WEBHOOK, orderingKey: 'a' }])).toMatchObject([{ deliveryId: next?.deliveryId }]);
  },
);

test('a claim from Redis that finds a cancelled delivery lets the next of its key go, unless its lease stood in its row', async () => {
  await redisServes();
  const published = await publish(['a', 'b']);
  const ended = published.map(({ deliveryId }, index) => ({
    deliveryId,
    webhookId: WEBHOOK,
    orderingKey: 'ab'[index] ?? '',
    token: 1,
  }));
  await pool.query(`update deliveries set leased_until = null, next_attempt_at = now() where ordering_key = 'a'`);
  await cancelAll();
  await publish(['a', 'b']);
  expect(await rowsOf('a')).toMatchObject([{ status: 'cancelled' }, { isDue: false }]);
  await clearFlights(pool, ended);
  expect(await rowsOf('a')).toMatchObject([{ status: 'cancelled' }, { isDue: true }]);
  expect(await rowsOf('b')).toMatchObject([{ status: 'cancelled' }, { isDue: false }]);
});

test('without Redis, what is due and not leased is not under way: the next of its key goes at once', async () => {
  await publish(['a', 'a']);
  await pool.query('update deliveries set leased_until = null, next_attempt_at = now() where waits = false');
  const { rows } = await pool.query<{ id: string }>('select id from deliveries where waits = false');
  await pool.query(`update deliveries set deliver_before = now() where id = $1`, [rows[0]?.id]);
  await expireDelivery(pool, rows[0]?.id ?? '');
  expect(await rowsOf('a')).toMatchObject([{ status: 'cancelled' }, { isDue: true, waits: false }]);
});

test('a retry of what waits for a request that ended keeps its own moment', async () => {
  const [first] = await publish(['a', 'a']);
  await pool.query(`update deliveries set deliver_before = now() where id = $1`, [first?.deliveryId]);
  await expireDelivery(pool, first?.deliveryId ?? '');
  await pool.query(`update deliveries set next_attempt_at = now() + interval '1 hour' where waits = false`);
  await recordOutcomes(pool, [outcome(first!, 'a')]);
  expect(await rowsOf('a')).toMatchObject([{ status: 'delivered' }, { isDue: false, waits: false }]);
});

test('and a retry by hand or a release does not make it due sooner', async () => {
  await publish(['a']);
  await pool.query('update webhook_endpoints set is_active = false');
  await cancelDeliveries(pool, WEBHOOK, 1000, false);
  await pool.query('update webhook_endpoints set is_active = true');
  const [next] = await publish(['a']);
  const orm = await createOrm(database.config, () => undefined);
  await orm.em.fork().transactional((transaction) => retryDelivery(transaction, next?.deliveryId ?? ''));
  await orm.close(true);
  expect(await rowsOf('a')).toMatchObject([{ status: 'cancelled' }, { status: 'pending', isDue: false }]);

  await pool.query('update webhook_endpoints set hold = $1', [Hold.paused]);
  await holdDeliveries(pool, [next?.deliveryId ?? '']);
  const { rows } = await pool.query<{ no: string }>(
    `insert into releases (id, webhook_id, user_id, kind, rate, tokens) values ('release_1', $1, 'user_1', 'resume', 100, 100) returning no::text`,
    [WEBHOOK],
  );
  expect(await stepRelease(pool, { releaseNo: rows[0]?.no ?? '' })).toMatchObject({ due: [{ deliveryId: next?.deliveryId }] });
  expect(await rowsOf('a')).toMatchObject([{ status: 'cancelled' }, { status: 'pending', isDue: false }]);
});

test('the last of a key may be settled while the next is being committed: the next goes', async () => {
  const [first] = await publish(['a']);
  const client = await pool.connect();
  await client.query('begin');
  await publish(['a'], client);
  const settled = recordOutcomes(pool, [outcome(first!, 'a')]);
  await eventually(async () => {
    const { rowCount } = await pool.query(`select 1 from pg_locks where not granted`);
    return rowCount !== 0;
  });
  await client.query('commit');
  client.release();
  await settled;
  expect(await rowsOf('a')).toMatchObject([{ status: 'delivered' }, { waits: false, isDue: true }]);
});

test('keys that were silent for longer than the log is kept are forgotten, busy ones are not', async () => {
  const [first] = await publish(['a', 'b']);
  await recordOutcomes(pool, [outcome(first!, 'a')]);
  await pool.query(`update ordering_heads set touched_at = now() - interval '9 days'`);
  expect(await expireHeads(pool, 8)).toBe(1);
  expect(numbers(await publish(['a', 'b']))).toEqual([1, 2]);
});
