// InsertLeaseExpiry: what a process leased on insert and never finished comes back, from whichever store has the schedule.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { InsertLeaseExpiry } from '../../src/maintenance/insert-lease-expiry.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

const LEASE_MS = 5000;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
});
afterAll(() => database.drop());

test('the leader schedules it, wakes who sends, and the lost try is counted', async () => {
  const id = newId('delivery', Date.now() - 60_000);
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, leased_until)
     values ($1, 'event_1', 'webhook_1', 'alice', 'order.created', now() - interval '50 seconds')`,
    [id],
  );
  const scheduler = new PostgresScheduler(database.pool, { leaseMs: LEASE_MS });
  let wakeups = 0;
  scheduler.onWake(() => (wakeups += 1));
  let isLeading = false;
  const scheduled: number[] = [];
  const errors: unknown[] = [];
  const insertLeaseExpiry = new InsertLeaseExpiry({
    pool: database.pool,
    scheduler,
    isLeading: () => isLeading,
    intervalMs: 20,
    leaseMs: LEASE_MS,
    now: Date.now,
    onBroughtForward: () => undefined,
    onOldTransaction: () => undefined,
    onScheduled: (count) => scheduled.push(count),
    onError: (error) => errors.push(error),
  });
  await insertLeaseExpiry.start();
  const request = { max: 10, perWebhook: 10, room: new Map<string, number>() };
  expect((await scheduler.claim(request)).leased).toEqual([]);
  isLeading = true;
  await eventually(() => scheduled.length > 0, { what: 'the expiry of the insert lease' });
  expect((await scheduler.claim(request)).leased).toMatchObject([{ deliveryId: id, expirations: 1 }]);
  await insertLeaseExpiry.drain();
  expect({ scheduled, wakeups, errors }).toEqual({ scheduled: [1], wakeups: 1, errors: [] });
});
