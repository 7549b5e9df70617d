// The rescue: what a dead process had leased is due at once, and a process that lives, or is only frozen, keeps its leases.
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { Rescue } from '../../src/maintenance/rescue.ts';
import { Holder } from '../../src/persistence/holder.ts';
import { connectionOptions } from '../../src/persistence/pool.ts';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { eventRow, outcomeRow } from '../persistence/hot-rows.ts';
import { fill } from '../schedule/filled.ts';
import { insertRows, newDue, newWebhookId } from '../schedule/rows.ts';

const LEASE_MS = 45_000;
const request = { max: 100, perWebhook: 100, room: new Map<string, number>() };

let database: TestDatabase;
let pool: Pool;
const redis = new RedisConnection(sharedTestRedis(), () => undefined);
const webhookId = newWebhookId();
const errors: unknown[] = [];
const rescued: number[] = [];
let holders: Holder[] = [];
let rescue: Rescue;
let keys = 0;
let sessionLostAgoMs = Infinity;
let index: RedisScheduler;

beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
  await redis.connect();
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     values ($1, 'alice', 'https://example.com/', '["order.created"]', 's', 'h')`,
    [webhookId],
  );
});
beforeEach(async () => {
  await pool.query('truncate deliveries, events, attempts, holders');
  errors.length = 0;
  rescued.length = 0;
  sessionLostAgoMs = Infinity;
  index = redisSchedule();
  await fill(index);
});
afterEach(async () => {
  await rescue.drain();
  await Promise.all(holders.map((holder) => holder.drain()));
  holders = [];
});
afterAll(async () => {
  redis.close();
  await database.drop();
});

function redisSchedule(holder?: Holder): RedisScheduler {
  if (holder === undefined) keys += 1;
  return new RedisScheduler(redis, {
    keyPrefix: `rescue-${process.pid}-${keys}:`,
    shards: 2,
    leaseMs: LEASE_MS,
    holder: () => holder?.number ?? 0,
  });
}

async function startHolder(): Promise<Holder> {
  const holder = new Holder({ connection: connectionOptions(database.config), leaseMs: LEASE_MS, onError: () => undefined });
  await holder.start();
  holders.push(holder);
  return holder;
}

async function startRescue(): Promise<void> {
  rescue = new Rescue({
    pool,
    scheduler: new PostgresScheduler(pool, { leaseMs: LEASE_MS }),
    index,
    isLeading: () => true,
    leaseMs: LEASE_MS,
    sessionLostAgoMs: () => sessionLostAgoMs,
    onRescued: (_holder, count) => rescued.push(count),
    onError: (_store, error) => errors.push(error),
  });
  await rescue.start();
}

async function publish(count: number, holder: Holder): Promise<string[]> {
  const events = Array.from({ length: count }, () => eventRow({ id: newId('event', Date.now()), userIds: ['alice'] }));
  const lease = {
    leaseMs: LEASE_MS,
    holder: holder.number,
    events: events.map(() => true),
    fullWebhookIds: [],
    fullUserIds: [],
  };
  const { deliveries } = await insertEvents(pool, events, lease);
  return [...deliveries.values()].flat().map(({ deliveryId }) => deliveryId);
}

/** What a kill -9 leaves: a row of `holders` whose session is gone. `drain` would take the row away. */
async function die(holder: Holder): Promise<void> {
  const { rows } = await pool.query('select * from holders where id = $1', [holder.id]);
  await holder.drain();
  holders = holders.filter((other) => other !== holder);
  await pool.query('insert into holders select * from json_populate_record(null::holders, $1)', [JSON.stringify(rows[0])]);
}

async function cutSession(holder: Holder): Promise<void> {
  await pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name like '% holder ' || $1`, [
    String(holder.number),
  ]);
}

const claimRows = async (): Promise<string[]> =>
  (await new PostgresScheduler(pool, { leaseMs: LEASE_MS }).claim(request)).leased.map(({ deliveryId }) => deliveryId);

test('what a dead process leased on insert, from PostgreSQL and from Redis is due at once, and each counts as a lost try', async () => {
  const dying = await startHolder();
  const living = await startHolder();
  const due = (): ReturnType<typeof newDue> => newDue(webhookId, Date.now() - 60_000);
  const [inRow, inRedis, othersInRedis] = [due(), due(), due()];
  await insertRows(pool, [inRow]);
  await new PostgresScheduler(pool, { leaseMs: LEASE_MS, holder: () => dying.number }).claim(request);
  await insertRows(pool, [inRedis, othersInRedis]);
  await index.enqueue([inRedis]);
  const ofDying = await redisSchedule(dying).claim(request);
  await index.enqueue([othersInRedis]);
  const ofLiving = await redisSchedule(living).claim(request);
  expect([ofDying.leased.length, ofLiving.leased.length]).toEqual([1, 1]);
  const leased = await publish(3, dying);
  const others = await publish(2, living);
  await recordOutcomes(pool, [outcomeRow(leased[0] ?? '', { webhookId })]);
  await startRescue();
  expect(await claimRows()).not.toContain(inRow.deliveryId);
  await die(dying);
  await eventually(() => rescued.length > 0, { what: 'the rescue' });
  await eventually(async () => (await pool.query('select 1 from holders')).rowCount === 1, { what: 'the end of the rescue' });
  expect(rescued).toEqual([3, 1]);
  const { rows } = await pool.query<{ id: string }>(
    `select id from deliveries where next_attempt_at <= now() and leased_until <= now()`,
  );
  expect(rows.map(({ id }) => id).toSorted()).toEqual([...leased.slice(1), inRow.deliveryId].toSorted());
  expect((await index.claim(request)).leased).toMatchObject([{ deliveryId: inRedis.deliveryId, expirations: 1 }]);
  const claimed = (await new PostgresScheduler(pool, { leaseMs: LEASE_MS }).claim(request)).leased;
  expect(claimed.map(({ expirations }) => expirations)).toEqual([1, 1, 1]);
  expect(claimed.map(({ deliveryId }) => deliveryId)).not.toEqual(expect.arrayContaining(others));
  expect(errors).toEqual([]);
});

test('a process whose session is cut takes its number again, and keeps its leases', async () => {
  const holder = await startHolder();
  const { number, id } = holder;
  const leased = await publish(2, holder);
  await startRescue();
  await cutSession(holder);
  await eventually(() => holder.number === 0, { what: 'the loss of the session' });
  await eventually(() => holder.number === number, { what: 'the same number' });
  for (let looks = 0; looks < 3; looks += 1) await rescue.look();
  expect(holder.id).toBe(id);
  expect(rescued).toEqual([]);
  expect(holder.isLost({ expiresAt: performance.now() })).toBe(false);
  expect(await claimRows()).not.toEqual(expect.arrayContaining(leased));
});

test('a process that was declared dead records successes but no failures, and counts its leases as lost', async () => {
  const holder = await startHolder();
  const { id } = holder;
  const [bad, good] = (await publish(2, holder)) as [string, string];
  await startRescue();
  const expiresAt = performance.now() + LEASE_MS;
  // Its lock is free and the row of it ended, as when its machine was cut off for a while.
  await cutSession(holder);
  await pool.query('update holders set ended_at = now() where id = $1', [id]);
  await eventually(() => holder.id !== id && holder.number > 0, { what: 'another number' });
  expect(holder.isLost({ expiresAt })).toBe(true);
  expect(holder.isLost({ expiresAt: performance.now() + LEASE_MS + 1000 })).toBe(false);
  const failed = { status: 'retrying', delayMs: 60_000, httpStatus: 500, errorCode: 'http_status' } as const;
  const { states } = await recordOutcomes(
    pool,
    [outcomeRow(bad, { webhookId, ...failed }), outcomeRow(good, { webhookId })],
    true,
    id,
  );
  expect(states.map((state) => state?.status)).toEqual([undefined, 'delivered']);
  expect((await recordOutcomes(pool, [outcomeRow(bad, { webhookId, ...failed })], true, holder.id)).states).toMatchObject([
    { status: 'retrying' },
  ]);
});

test('after all sessions have ended, one that has not come back yet is not taken for dead before a lease has passed', async () => {
  const holder = await startHolder();
  const leased = await publish(1, holder);
  await die(holder);
  sessionLostAgoMs = -1000;
  await startRescue();
  for (let looks = 0; looks < 3; looks += 1) await rescue.look();
  const { rows } = await pool.query<{ ended_at: Date | null }>('select ended_at from holders');
  expect({ rows, rescued }).toEqual({ rows: [{ ended_at: null }], rescued: [] });
  sessionLostAgoMs = LEASE_MS + 1000;
  await eventually(() => rescued.length > 0, { what: 'the rescue' });
  expect(await claimRows()).toEqual(leased);
});
