// A database whose clock was ahead and was set back: what it has put off comes when it was meant to.
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { InsertLeaseExpiry } from '../../src/maintenance/insert-lease-expiry.ts';
import { scheduleExpired } from '../../src/persistence/queries/schedule-expired.ts';
import { bringForward } from '../../src/persistence/queries/bring-forward.ts';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, insertWebhook } from './hot-rows.ts';

const LEASE_MS = 45_000;
const DAY_MS = 86_400_000;
const WEBHOOK = 'webhook_00000000000000000000000001';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
  await insertWebhook(pool, WEBHOOK, { userId: 'alice' });
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool.query('truncate deliveries, events, attempts');
  await placeAt(-3_600_000);
});

/** How far the insertLeaseExpiry has come, from now. */
const placeAt = (ms: number): Promise<unknown> =>
  pool.query('update adoption set adopted_below = $1', [idFloor('delivery', Date.now() + ms)]);

interface Given {
  readonly madeMs?: number;
  readonly status?: string;
  readonly attempts?: number;
  readonly nextMs?: number | null;
  readonly leasedMs?: number | null;
  readonly changedMs?: number | null;
}

/** A delivery with times so many milliseconds from now. */
async function insertDelivery(given: Given): Promise<string> {
  const { madeMs = 0, status = 'pending', attempts = 0, nextMs = null, leasedMs = null, changedMs = null } = given;
  const id = newId('delivery', Date.now() + madeMs);
  const at = (parameter: string): string => `now() + ${parameter}::float8 * interval '1 millisecond'`;
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, next_attempt_at, leased_until, changed_at)
     values ($1, 'event_1', $2, 'alice', 'order.created', $3, $4, ${at('$5')}, ${at('$6')}, ${at('$7')})`,
    [id, WEBHOOK, status, attempts, nextMs, leasedMs, changedMs],
  );
  return id;
}

async function inSeconds(id: string): Promise<{ next: number | null; leased: number | null; changed: number | null }> {
  const seconds = (column: string): string => `extract(epoch from ${column} - now())::float8`;
  const { rows } = await pool.query(
    `select ${seconds('next_attempt_at')} as next, ${seconds('leased_until')} as leased, ${seconds('changed_at')} as changed
     from deliveries where id = $1`,
    [id],
  );
  return rows[0] as Awaited<ReturnType<typeof inSeconds>>;
}

/** Within five seconds, for machines that are slow. */
const about = (value: number): number => expect.closeTo(value, -1) as number;

const bring = (max = 100) => bringForward(pool, { leaseMs: LEASE_MS, max });

async function rescue(): Promise<void> {
  const insertLeaseExpiry = new InsertLeaseExpiry({
    pool,
    scheduler: new PostgresScheduler(pool, { leaseMs: LEASE_MS }),
    isLeading: () => true,
    intervalMs: 1000,
    leaseMs: LEASE_MS,
    now: Date.now,
    onScheduled: () => undefined,
    onOldTransaction: () => undefined,
    onBroughtForward: () => undefined,
    onError: (error) => {
      throw error;
    },
  });
  await insertLeaseExpiry.run();
}

test('a delivery made in a time to come is due now, and its lease ends within one from now', async () => {
  const scheduled = await insertDelivery({ madeMs: DAY_MS, nextMs: DAY_MS });
  const leased = await insertDelivery({ madeMs: DAY_MS, leasedMs: DAY_MS + LEASE_MS });
  expect((await bring()).map(({ deliveryId }) => deliveryId).toSorted()).toEqual([leased, scheduled].toSorted());
  expect(await inSeconds(scheduled)).toEqual({ next: about(0), leased: null, changed: null });
  expect(await inSeconds(leased)).toEqual({ next: about(0), leased: about(LEASE_MS / 1000), changed: null });
  expect(await bring()).toEqual([]);
});

test('a retry set in a time to come is due after the delay that was meant', async () => {
  const id = await insertDelivery({ status: 'retrying', attempts: 1, changedMs: DAY_MS, nextMs: DAY_MS + 60_000 });
  expect(await bring()).toMatchObject([{ deliveryId: id }]);
  expect(await inSeconds(id)).toEqual({ next: about(60), leased: null, changed: about(0) });
});

test('what has come to its end, and what is about now, stays as it is', async () => {
  await insertDelivery({ madeMs: DAY_MS, status: 'delivered', attempts: 1 });
  await insertDelivery({ status: 'failed', attempts: 1, changedMs: DAY_MS });
  await insertDelivery({ status: 'retrying', attempts: 1, changedMs: -1000, nextMs: DAY_MS });
  await insertDelivery({ leasedMs: LEASE_MS });
  await insertDelivery({ madeMs: 1000, leasedMs: LEASE_MS });
  expect(await bring()).toEqual([]);
});

test('a row that another session is writing is left for the next time', async () => {
  const id = await insertDelivery({ madeMs: DAY_MS, nextMs: DAY_MS });
  const writer = await pool.connect();
  await writer.query('begin');
  await writer.query(`update deliveries set status = 'cancelled', next_attempt_at = null where id = $1`, [id]);
  expect(await bring()).toEqual([]);
  await writer.query('rollback');
  writer.release();
  expect(await bring()).toHaveLength(1);
});

test('a lease given by a clock that went back ends within one from now', async () => {
  const claimed = await insertDelivery({ madeMs: -60_000, nextMs: -1000, leasedMs: DAY_MS });
  const later = await insertDelivery({ madeMs: -60_000, status: 'retrying', attempts: 1, changedMs: -1000, nextMs: 7_200_000 });
  const ours = await insertDelivery({ madeMs: -60_000, nextMs: -1000, leasedMs: LEASE_MS });
  await placeAt(DAY_MS);
  await rescue();
  expect(await inSeconds(claimed)).toMatchObject({ next: about(-1), leased: about(LEASE_MS / 1000) });
  expect(await inSeconds(later)).toMatchObject({ next: about(7200) });
  expect(await inSeconds(ours)).toMatchObject({ leased: about(LEASE_MS / 1000) });
});

test('the place of the insertLeaseExpiry goes back with the clock, and nothing is leased on insert below it', async () => {
  await placeAt(50_000);
  const publish = async (): Promise<boolean | undefined> => {
    const events = [eventRow({ id: newId('event', Date.now()), userIds: ['alice'] })];
    const { deliveries } = await insertEvents(pool, events, {
      leaseMs: LEASE_MS,
      events: [true],
      fullWebhookIds: [],
      fullUserIds: [],
    });
    return [...deliveries.values()][0]?.[0]?.isLeased;
  };
  expect(await publish()).toBe(false);
  await scheduleExpired(pool, { leaseMs: LEASE_MS, max: 10 });
  expect(await publish()).toBe(true);
});
