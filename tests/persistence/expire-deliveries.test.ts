// Deliveries that end at their deadline, on the real statements: at the moment, once, and never one that is still in time.
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { expireDeliveries, expireDelivery } from '../../src/persistence/queries/expire-deliveries.ts';
import { insertEvents, type EventRow } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const WEBHOOK = 'webhook_00000000000000000000000001';
const HOUR_MS = 3_600_000;
const MAX = 1000;

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool.query('truncate webhook_endpoints, deliveries, events, attempts, ordering_heads, late_changes');
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
  await pool.query('update deadline_walk set reached = now()');
  await insertWebhook(pool, WEBHOOK);
});

/** Commits an event for each, as a process that sends what it commits. */
async function publish(...events: Partial<EventRow>[]) {
  const rows = events.map(eventRow);
  const lease = { leaseMs: 45_000, holder: 17, events: rows.map(() => true), fullWebhookIds: [], fullUserIds: [] };
  const { deliveries } = await insertEvents(pool, rows, lease);
  return rows.flatMap(({ id }) => deliveries.get(id) ?? []);
}

/** Its deadline was a moment ago. */
async function passes(deliveryId: string): Promise<void> {
  await pool.query(`update deliveries set deliver_before = now() where id = $1`, [deliveryId]);
}

async function statesOf() {
  const { rows } = await pool.query<{ status: string; reason: string | null; isIdle: boolean }>(
    `select status, cancel_reason as reason, next_attempt_at is null and leased_until is null and held_at is null and waits is not true as "isIdle"
     from deliveries order by id`,
  );
  return rows;
}
const EXPIRED = { status: 'cancelled', reason: 'expired', isIdle: true };

test('what has a deadline ahead is published like everything else, and keeps it', async () => {
  const deliverBeforeMs = Math.floor(Date.now()) + HOUR_MS;
  const [timed, other] = await publish({ deliverBeforeMs }, {});
  expect([timed, other]).toMatchObject([
    { isLeased: true, endedAs: null },
    { isLeased: true, endedAs: null },
  ]);
  expect(await expireDeliveries(pool, MAX)).toEqual([]);
  const { rows } = await pool.query<{ ms: number | null }>(
    'select (extract(epoch from deliver_before) * 1000)::float8 as ms from (select deliver_before from deliveries union all select deliver_before from events) d order by ms',
  );
  expect(rows.map(({ ms }) => ms)).toEqual([deliverBeforeMs, deliverBeforeMs, null, null]);
});

test.each([
  ['alone', null],
  ['with an ordering key', 'a'],
])('what is too late when it is published, %s, is inserted as ended and never leased or scheduled', async (_, orderingKey) => {
  const [late] = await publish({ deliverBeforeMs: Date.now() - 1000, orderingKey });
  expect(late).toMatchObject({ isLeased: false, isHeld: false, endedAs: 'expired' });
  expect(await statesOf()).toEqual([EXPIRED]);
});

test('what is too late for a paused webhook is not held', async () => {
  await pool.query('update webhook_endpoints set hold = 1');
  expect(await publish({ deliverBeforeMs: 0 })).toMatchObject([{ isHeld: false, endedAs: 'expired' }]);
  expect(await statesOf()).toEqual([EXPIRED]);
});

test.each([
  ['is leased on insert', ''],
  ['is scheduled', 'leased_until = null, next_attempt_at = now()'],
  [
    'waits for a retry',
    `leased_until = null, status = 'retrying', attempt_count = 1, next_attempt_at = now() + interval '1 hour'`,
  ],
  ['is held', 'leased_until = null, held_at = now()'],
  ['waits for its turn', 'leased_until = null, waits = true'],
])('a delivery that %s ends at its deadline, once', async (_, change) => {
  const [made] = await publish({ deliverBeforeMs: Date.now() + HOUR_MS });
  if (change !== '') await pool.query(`update deliveries set ${change}`);
  await passes(made?.deliveryId ?? '');
  expect(await expireDeliveries(pool, MAX)).toMatchObject([
    { id: made?.deliveryId, status: 'cancelled', cancelReason: 'expired' },
  ]);
  expect(await statesOf()).toEqual([EXPIRED]);
  expect(await expireDeliveries(pool, MAX)).toEqual([]);
});

test('what has ended before its deadline stays as it ended; what is only sent again stays delivered', async () => {
  const [delivered, again] = await publish(
    { deliverBeforeMs: Date.now() + HOUR_MS },
    { deliverBeforeMs: Date.now() + HOUR_MS },
  );
  const ids = [delivered?.deliveryId ?? '', again?.deliveryId ?? ''];
  await recordOutcomes(
    pool,
    ids.map((id) => outcomeRow(id, { webhookId: WEBHOOK })),
  );
  await pool.query(`update deliveries set status = 'retrying', next_attempt_at = now() where id = $1`, [ids[1]]);
  for (const id of ids) await passes(id);
  expect(await expireDeliveries(pool, MAX)).toMatchObject([{ id: ids[1], status: 'delivered' }]);
  expect((await statesOf()).map(({ status }) => status)).toEqual(['delivered', 'delivered']);
});

test('an attempt that was under way at the deadline delivers when it succeeds, and is not tried again when it fails', async () => {
  const made = await publish({ deliverBeforeMs: Date.now() + HOUR_MS }, { deliverBeforeMs: Date.now() + HOUR_MS });
  const [arrived = '', lost = ''] = made.map(({ deliveryId }) => deliveryId);
  for (const id of [arrived, lost]) await passes(id);
  expect(await expireDeliveries(pool, MAX)).toHaveLength(2);
  await recordOutcomes(pool, [
    outcomeRow(arrived, { webhookId: WEBHOOK }),
    outcomeRow(lost, { webhookId: WEBHOOK, status: 'retrying', delayMs: 1000, httpStatus: 500, errorCode: 'http_status' }),
  ]);
  expect((await statesOf()).map(({ status }) => status).toSorted()).toEqual(['cancelled', 'delivered']);
});

test('the next of a key has the turn in the transaction that ends the one before, and what expired at its publish never has it', async () => {
  await pool.query(`update webhook_endpoints set ordering = 'key'`);
  const ahead = Date.now() + HOUR_MS;
  const made = await publish(
    { orderingKey: 'a', deliverBeforeMs: 0 },
    { orderingKey: 'a', deliverBeforeMs: ahead },
    { orderingKey: 'a', deliverBeforeMs: ahead },
    { orderingKey: 'a' },
  );
  expect(made.map(({ ordering }) => ordering)).toEqual([
    { sequence: 1, waits: null },
    { sequence: 2, waits: false },
    { sequence: 3, waits: true },
    { sequence: 4, waits: true },
  ]);
  // Of those that end in one statement each lets the next go, up to one that stays.
  await passes(made[1]?.deliveryId ?? '');
  await passes(made[2]?.deliveryId ?? '');
  expect(await expireDeliveries(pool, MAX)).toHaveLength(2);
  const { rows } = await pool.query('select turn_id from ordering_heads');
  expect(rows).toEqual([{ turn_id: made[3]?.deliveryId }]);
  expect((await statesOf()).filter(({ status }) => status === 'pending')).toEqual([
    { status: 'pending', reason: null, isIdle: false },
  ]);
});

test('a batch takes the earliest deadlines, and the next goes on from there', async () => {
  const made = await publish(...[3, 1, 2].map((hours) => ({ deliverBeforeMs: Date.now() + hours * HOUR_MS })));
  await pool.query(`update deliveries set deliver_before = deliver_before - interval '4 hours'`);
  await pool.query(`update deadline_walk set reached = now() - interval '1 day'`);
  const ended = [];
  for (let batch = await expireDeliveries(pool, 1); batch.length > 0; batch = await expireDeliveries(pool, 1))
    ended.push(batch[0]?.id);
  expect(ended).toEqual([1, 2, 0].map((index) => made[index]?.deliveryId));
});

test('a publish that commits after its deadline was passed over is found all the same', async () => {
  const client = await pool.connect();
  try {
    const event = eventRow({ deliverBeforeMs: Date.now() + 300 });
    await client.query('begin');
    await insertEvents(client as unknown as Pool, [event], null);
    await eventually(async () => {
      const { rows } = await pool.query<{ past: boolean }>('select now() > to_timestamp($1 / 1000.0) as past', [
        event.deliverBeforeMs,
      ]);
      return rows[0]?.past === true;
    });
    expect(await expireDeliveries(pool, MAX)).toEqual([]);
    await client.query('commit');
  } finally {
    client.release();
  }
  expect(await expireDeliveries(pool, MAX)).toHaveLength(1);
});

test('a row that another session has locked is passed over, and found by a later look', async () => {
  const made = await publish({ deliverBeforeMs: Date.now() + HOUR_MS }, { deliverBeforeMs: Date.now() + HOUR_MS });
  for (const { deliveryId } of made) await passes(deliveryId);
  const client = await pool.connect();
  try {
    await client.query('begin');
    await client.query('select from deliveries where id = $1 for update', [made[0]?.deliveryId]);
    expect(await expireDeliveries(pool, MAX)).toMatchObject([{ id: made[1]?.deliveryId }]);
    await client.query('commit');
  } finally {
    client.release();
  }
  expect(await expireDeliveries(pool, MAX)).toMatchObject([{ id: made[0]?.deliveryId }]);
});

test('when the clock of the database was set back, the place goes back with it', async () => {
  const [made] = await publish({ deliverBeforeMs: Date.now() + HOUR_MS });
  await pool.query(`update deadline_walk set reached = now() + interval '1 day'`);
  await expireDeliveries(pool, MAX);
  await passes(made?.deliveryId ?? '');
  expect(await expireDeliveries(pool, MAX)).toHaveLength(1);
});

test('one that a process is about to send ends only when its moment has come by the clock of the database', async () => {
  const [made] = await publish({ deliverBeforeMs: Date.now() + HOUR_MS });
  expect(await expireDelivery(pool, made?.deliveryId ?? '')).toBeUndefined();
  await passes(made?.deliveryId ?? '');
  expect(await expireDelivery(pool, made?.deliveryId ?? '')).toMatchObject({ status: 'cancelled', cancelReason: 'expired' });
  expect(await expireDelivery(pool, made?.deliveryId ?? '')).toBeUndefined();
});

test('the first try of a delivery with a deadline stays a HOT update', async () => {
  const made = await publish(...Array.from({ length: 50 }, () => ({ deliverBeforeMs: Date.now() + HOUR_MS })));
  const client = await pool.connect();
  const counted = async () => {
    const { rows } = await client.query<{ updated: number; hot: number }>(
      `select sum(pg_stat_get_xact_tuples_updated(relid))::integer as updated, sum(pg_stat_get_xact_tuples_hot_updated(relid))::integer as hot
       from pg_partition_tree('deliveries') where isleaf`,
    );
    return rows[0] ?? { updated: 0, hot: 0 };
  };
  try {
    await client.query('begin');
    const before = await counted();
    await recordOutcomes(
      client,
      made.map(({ deliveryId }) => outcomeRow(deliveryId, { webhookId: WEBHOOK })),
    );
    const after = await counted();
    expect([after.updated - before.updated, after.hot - before.hot]).toEqual([50, 50]);
    await client.query('commit');
  } finally {
    client.release();
  }
});
