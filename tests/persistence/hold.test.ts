// Deliveries of a paused webhook: held in their rows, in no schedule, and ended by nothing but a release, a cancellation or retention.
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { bringForward } from '../../src/persistence/queries/bring-forward.ts';
import { cancelDeliveries } from '../../src/persistence/queries/cancel-deliveries.ts';
import { countHeld } from '../../src/persistence/queries/count-held.ts';
import { findClosedWebhooks } from '../../src/persistence/queries/find-closed-webhooks.ts';
import { gatherScheduled, holdDeliveries } from '../../src/persistence/queries/hold-deliveries.ts';
import { insertEvents, type InsertedDelivery } from '../../src/persistence/queries/insert-events.ts';
import { listDeliveries } from '../../src/persistence/queries/list-deliveries.ts';
import { loadDeliveries } from '../../src/persistence/queries/load-deliveries.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { releaseLeases } from '../../src/persistence/queries/release-leases.ts';
import { rescueDeliveries } from '../../src/persistence/queries/rescue-deliveries.ts';
import { scheduleExpired } from '../../src/persistence/queries/schedule-expired.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const LEASE_MS = 45_000;
const WEBHOOK = 'webhook_00000000000000000000000001';
const PAUSED = 1;

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool.query('truncate webhook_endpoints, deliveries, events, attempts, late_changes, release_notes');
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
  await insertWebhook(pool, WEBHOOK, { userId: 'alice' });
});

const setHold = (hold: number): Promise<unknown> => pool.query('update webhook_endpoints set hold = $1', [hold]);

async function publish(count = 1): Promise<InsertedDelivery[]> {
  const events = Array.from({ length: count }, () => eventRow({ userIds: ['alice'] }));
  const lease = { leaseMs: LEASE_MS, holder: 17, events: events.map(() => true), fullWebhookIds: [], fullUserIds: [] };
  const { deliveries } = await insertEvents(pool, events, lease);
  return [...deliveries.values()].flat();
}

async function publishOne(): Promise<string> {
  const [made] = await publish();
  return made?.deliveryId ?? '';
}

interface Row {
  status: string;
  isScheduled: boolean;
  isLeased: boolean;
  isHeld: boolean;
  attempts: number;
}

async function row(id: string): Promise<Row | undefined> {
  const { rows } = await pool.query<Row>(
    `select status, next_attempt_at is not null as "isScheduled", leased_until is not null as "isLeased", held_at is not null as "isHeld",
       attempt_count as attempts from deliveries where id = $1`,
    [id],
  );
  return rows[0];
}

const held = { status: 'pending', isScheduled: false, isLeased: false, isHeld: true, attempts: 0 };

test('an event for a paused webhook makes a delivery that is held, neither leased nor scheduled', async () => {
  await setHold(PAUSED);
  const [made] = await publish();
  expect(made).toMatchObject({ isHeld: true, isLeased: false });
  expect(await row(made?.deliveryId ?? '')).toEqual(held);
});

test('while a release drains the hold, new deliveries are held behind it', async () => {
  await setHold(2);
  expect(await row(await publishOne())).toEqual(held);
});

test('in the tail of a release, new deliveries are scheduled for its end', async () => {
  await pool.query(`update webhook_endpoints set hold = 3, tail_until = now() + interval '1 minute'`);
  const id = await publishOne();
  const { rows } = await pool.query(
    'select next_attempt_at = (select tail_until from webhook_endpoints) as "isAtEnd", leased_until from deliveries where id = $1',
    [id],
  );
  expect(rows).toEqual([{ isAtEnd: true, leased_until: null }]);
});

test('what looks for lost leases, for clocks that were ahead and for dead processes leaves a held delivery alone', async () => {
  await setHold(PAUSED);
  const id = await publishOne();
  // As old as one whose lease would be over, and as young as one that a clock made which is ahead.
  const old = newId('delivery', Date.now() - 120_000);
  const ahead = newId('delivery', Date.now() + 600_000);
  for (const copy of [old, ahead]) {
    await pool.query(
      `insert into deliveries (id, event_id, webhook_id, user_id, event_type, held_at) values ($1, 'event_1', $2, 'alice', 'order.created', now())`,
      [copy, WEBHOOK],
    );
  }
  expect((await scheduleExpired(pool, { leaseMs: 1, max: 100 })).deliveries).toEqual([]);
  expect(await bringForward(pool, { leaseMs: LEASE_MS, max: 100 })).toEqual([]);
  expect(await rescueDeliveries(pool, 17)).toEqual([]);
  await releaseLeases(pool, [{ deliveryId: id, leasedUntilMs: Date.now(), dueAtMs: null }]);
  for (const each of [id, old, ahead]) expect(await row(each)).toEqual(held);
});

test('a process that finds a held delivery in its schedule drops it', async () => {
  await setHold(PAUSED);
  const id = await publishOne();
  expect(await loadDeliveries(pool, [{ deliveryId: id, token: 0 }])).toMatchObject([{ id, waitMs: null }]);
});

test('what a process holds of a paused webhook goes into the hold, and of one that is not paused it does not', async () => {
  const id = await publishOne();
  expect(await holdDeliveries(pool, [id])).toEqual(new Set());
  expect(await row(id)).toMatchObject({ isHeld: false, isLeased: true });
  await setHold(PAUSED);
  expect(await holdDeliveries(pool, [id])).toEqual(new Set([id]));
  expect(await row(id)).toEqual(held);
});

test('what is scheduled is gathered into the hold as pending, and what a process has leased in its row is left to it', async () => {
  const [scheduled, leased] = [await publishOne(), await publishOne()];
  await recordOutcomes(pool, [
    outcomeRow(scheduled, {
      webhookId: WEBHOOK,
      status: 'retrying',
      delayMs: 60_000,
      errorCode: 'http_status',
      usesRetry: true,
    }),
  ]);
  await pool.query('update deliveries set next_attempt_at = now() where id = $1', [leased]);
  expect(await gatherScheduled(pool, WEBHOOK, 10)).toBe(0);
  await setHold(PAUSED);
  expect(await gatherScheduled(pool, WEBHOOK, 10)).toBe(1);
  expect(await gatherScheduled(pool, WEBHOOK, 10)).toBe(0);
  expect(await row(scheduled)).toEqual({ ...held, attempts: 1 });
  expect(await row(leased)).toMatchObject({ isHeld: false, isLeased: true });
});

test('a request that was under way when its delivery was held ends the hold by a success or by giving up, and else leaves it', async () => {
  const [taken, refused, again] = [await publishOne(), await publishOne(), await publishOne()];
  await setHold(PAUSED);
  await holdDeliveries(pool, [taken, refused, again]);
  const failure = { webhookId: WEBHOOK, errorCode: 'http_status', httpStatus: 500 } as const;
  const { states } = await recordOutcomes(pool, [
    outcomeRow(taken, { webhookId: WEBHOOK }),
    outcomeRow(refused, { ...failure, status: 'failed' }),
    outcomeRow(again, { ...failure, status: 'retrying', delayMs: 1000, usesRetry: true }),
  ]);
  expect(states).toMatchObject([{ status: 'delivered' }, { status: 'failed' }, { status: 'pending', nextAttemptAtMs: null }]);
  expect(await row(taken)).toMatchObject({ status: 'delivered', isHeld: false });
  expect(await row(refused)).toMatchObject({ status: 'failed', isHeld: false });
  expect(await row(again)).toEqual({ ...held, attempts: 1 });
});

test('closing a webhook cancels what is held, and housekeeping finds what was left of it', async () => {
  await setHold(PAUSED);
  const id = await publishOne();
  await pool.query(`update webhook_endpoints set is_active = false, updated_at = now() at time zone 'utc'`);
  expect(await findClosedWebhooks(pool, { closedWithinMs: 60_000, max: 10 })).toEqual([WEBHOOK]);
  expect(await cancelDeliveries(pool, WEBHOOK, 100, true)).toMatchObject({ count: 1, rows: [{ id, status: 'cancelled' }] });
  expect(await row(id)).toMatchObject({ status: 'cancelled', isHeld: false });
  expect(await findClosedWebhooks(pool, { closedWithinMs: 60_000, max: 10 })).toEqual([]);
});

test('held deliveries are among the pending ones of the log, each once', async () => {
  const leased = await publishOne();
  await setHold(PAUSED);
  const id = await publishOne();
  const filter = {
    userId: null,
    webhookIds: [WEBHOOK],
    statuses: ['pending'],
    httpStatus: null,
    errorCode: null,
    eventType: null,
    eventId: null,
    fromId: null,
    belowId: null,
    along: 'webhooks' as const,
  } as const;
  const page = await listDeliveries(pool, filter, { limit: 10, offset: 0, order: 'desc' });
  expect(page.map((delivery) => delivery.id).toSorted()).toEqual([leased, id].toSorted());
});

test('what is held is counted, with the time of the oldest', async () => {
  expect(await countHeld(pool, [WEBHOOK])).toEqual([{ webhookId: WEBHOOK, held: 0, oldestHeldAt: null }]);
  await setHold(PAUSED);
  await publish(3);
  const { rows } = await pool.query<{ oldest: Date }>('select min(created_at) as oldest from deliveries');
  expect(await countHeld(pool, [WEBHOOK])).toEqual([{ webhookId: WEBHOOK, held: 3, oldestHeldAt: rows[0]?.oldest }]);
});

test('a retry that becomes held is written down for the sums of its hour', async () => {
  const id = await publishOne();
  await recordOutcomes(pool, [
    outcomeRow(id, { webhookId: WEBHOOK, status: 'retrying', delayMs: 1, errorCode: 'http_status', usesRetry: true }),
  ]);
  await pool.query(`update summing set closing_below = id_floor('delivery', now() + interval '1 hour')`);
  await setHold(PAUSED);
  await gatherScheduled(pool, WEBHOOK, 10);
  const { rows } = await pool.query('select old_status, status from late_changes where delivery_id = $1', [id]);
  expect(rows).toEqual([{ old_status: 'retrying', status: 'pending' }]);
});
