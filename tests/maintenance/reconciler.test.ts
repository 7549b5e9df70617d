// The reconciler: whatever Redis loses comes back, whole and never early.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { Reconciler, type ReconcilerOptions } from '../../src/maintenance/reconciler.ts';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import type { ClaimRequest } from '../../src/schedule/scheduler.ts';
import { deliveryIdOf, deliveryKey, webhookKey } from '../../src/schedule/shard.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { generateRows, insertRows, newDue, newWebhookId } from '../schedule/rows.ts';

const DAY_MS = 86_400_000;
const everything: ClaimRequest = { max: 1000, perWebhook: 1000, room: new Map() };

let database: TestDatabase;
let server: TestRedis;
let redis: RedisConnection;
let index: RedisScheduler;
let requeued: number;
const running: Reconciler[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  server = await createTestRedis();
  redis = new RedisConnection(server.config, () => undefined);
  await redis.connect();
});
afterAll(async () => {
  redis.close();
  await server.close();
  await database.drop();
});
beforeEach(async () => {
  await database.pool.query('truncate deliveries');
  await redis.commands.flushall();
  requeued = 0;
  index = new RedisScheduler(redis, { ...server.config, leaseMs: 60_000 });
});
afterEach(async () => {
  for (const reconciler of running.splice(0)) await reconciler.drain();
});

function createReconciler(options: Partial<ReconcilerOptions> = {}): Reconciler {
  const reconciler = new Reconciler({
    pool: database.pool,
    index,
    isLeading: () => true,
    intervalMs: 30_000,
    leaseMs: 0,
    now: Date.now,
    onRequeued: (count) => (requeued += count),
    onError: () => undefined,
    ...options,
  });
  running.push(reconciler);
  return reconciler;
}

const scoresOf = async (webhookId: string): Promise<Map<string, number>> => {
  const flat = await redis.commands.zrange(`{wh:0}:ep:${webhookKey(webhookId)}`, '0', '-1', 'WITHSCORES');
  return new Map(Array.from({ length: flat.length / 2 }, (_, i) => [deliveryIdOf(flat[2 * i] ?? ''), Number(flat[2 * i + 1])]));
};

test('a Redis that was emptied is filled again by itself: everything unfinished, and nothing early', async () => {
  const [backlog, retrying] = [newWebhookId(), newWebhookId()];
  await generateRows(database.pool, backlog, 20_000, -1000);
  await generateRows(database.pool, retrying, 5000, 600_000.4);
  const over = newDue(newWebhookId(), Date.now() - 1);
  await insertRows(database.pool, [over]);
  await database.pool.query(`update deliveries set status = 'delivered', next_attempt_at = null where id = $1`, [
    over.deliveryId,
  ]);
  await createReconciler().start();
  await eventually(async () => (await index.indexState()) === 'complete');
  expect(requeued).toBe(25_000);
  await redis.commands.flushall();
  await eventually(async () => (await index.indexState()) === 'complete');
  expect(requeued).toBe(50_000);
  expect((await scoresOf(backlog)).size).toBe(20_000);
  const { rows } = await database.pool.query<{ id: string; due_ms: number }>(
    `select id, (extract(epoch from next_attempt_at) * 1000)::float8 as due_ms from deliveries where webhook_id = $1`,
    [retrying],
  );
  const scores = await scoresOf(retrying);
  // Later by what a busy Redis took to read a page: that looks like a difference of clocks.
  const LATE_MS = 1000;
  expect(
    rows.filter((row) => !((scores.get(row.id) ?? 0) >= row.due_ms && (scores.get(row.id) ?? 0) < row.due_ms + LATE_MS)),
  ).toEqual([]);
  expect(await scoresOf(over.webhookId)).toEqual(new Map());
});

test('what a worker may have leased before Redis lost it comes back only when its lease is over', async () => {
  const item = newDue(newWebhookId(), Date.now() - 5000);
  await insertRows(database.pool, [item]);
  const lostAtMs = Date.now();
  await createReconciler({ leaseMs: 20_000 }).rebuild();
  const [score = 0] = [...(await scoresOf(item.webhookId)).values()];
  expect(score).toBeGreaterThanOrEqual(lostAtMs + 20_000);
  expect(score).toBeLessThan(Date.now() + 20_001);
});

test('an emptied Redis gets the webhooks that kept failing as suspects, so that one delivery of each is claimed', async () => {
  const [dead, healthy] = [newWebhookId(), newWebhookId()];
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, consecutive_failures)
     select id, 'alice', 'https://example.com/' || id, '["order.created"]', 's', 'h', failures
     from unnest($1::text[], $2::integer[]) as w(id, failures)`,
    [
      [dead, healthy],
      [30, 1],
    ],
  );
  await insertRows(
    database.pool,
    [dead, healthy].flatMap((webhookId) => Array.from({ length: 5 }, () => newDue(webhookId, Date.now() - 60_000))),
  );
  await createReconciler().rebuild();
  const { leased } = await index.claim({ ...everything, maxProbes: 4 });
  expect(leased.filter((lease) => lease.webhookId === healthy)).toHaveLength(5);
  expect(leased.filter((lease) => lease.webhookId === dead).map(({ isProbe }) => isProbe)).toEqual([true]);
});

test('a row that is leased in PostgreSQL comes back only for when its lease ends', async () => {
  const item = newDue(newWebhookId(), Date.now() - 5000);
  await insertRows(database.pool, [item]);
  const until = Date.now() + 30_000;
  await database.pool.query('update deliveries set leased_until = to_timestamp($1::float8 / 1000)', [until]);
  await createReconciler().rebuild();
  expect([...(await scoresOf(item.webhookId)).values()]).toEqual([until]);
});

test('what is leased in its row is enqueued for the end of that lease, and does not count as missing', async () => {
  await createReconciler().rebuild();
  const item = newDue(newWebhookId(), Date.now() - 3000);
  await insertRows(database.pool, [item]);
  const until = Date.now() + 30_000;
  await database.pool.query('update deliveries set leased_until = to_timestamp($1::float8 / 1000)', [until]);
  requeued = 0;
  await createReconciler().sweep();
  expect([...(await scoresOf(item.webhookId)).values()]).toEqual([until]);
  expect(requeued).toBe(0);
});

test('a delivery that was committed and never scheduled is found by the next sweep', async () => {
  await createReconciler().rebuild();
  const lost = newDue(newWebhookId(), Date.now() - 3000);
  await insertRows(database.pool, [lost]);
  await createReconciler({ intervalMs: 1000 }).start();
  await eventually(async () => (await index.claim(everything)).leased.some((lease) => lease.deliveryId === lost.deliveryId));
  // Reported at the end of the sweep that found it.
  await eventually(() => requeued > 0);
  expect(requeued).toBe(1);
});

test('a lost delivery is found at once behind any backlog that Redis knows', async () => {
  const reconciler = createReconciler({ intervalMs: 2000 });
  const backlog = newWebhookId();
  await generateRows(database.pool, backlog, 30_000, -3_600_000);
  await reconciler.rebuild();
  const lost = newDue(backlog, Date.now() - 2000);
  await insertRows(database.pool, [lost]);
  requeued = 0;
  // No time for more than one page of all rows: it is found among those that became due lately.
  await createReconciler({ intervalMs: 2000 }).sweep();
  expect(requeued).toBe(1);
  expect(await redis.commands.zscore(`{wh:0}:ep:${webhookKey(backlog)}`, deliveryKey(lost.deliveryId))).not.toBeNull();
});

test('however much became due lately, a sweep has one page of it at a time in memory', async () => {
  const webhooks = Array.from({ length: 25 }, newWebhookId);
  for (const webhookId of webhooks) await generateRows(database.pool, webhookId, 500, -2000);
  const sizes: number[] = [];
  const enqueue = index.enqueue.bind(index);
  index.enqueue = (items) => {
    sizes.push(items.length);
    return enqueue(items);
  };
  await createReconciler().sweep();
  expect(requeued).toBe(12_500);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(10_000);
});

test('members that Redis evicted come back while sweeps go round', async () => {
  const reconciler = createReconciler({ intervalMs: 10 });
  const webhookId = newWebhookId();
  await generateRows(database.pool, webhookId, 25_000, 600_000);
  await reconciler.rebuild();
  requeued = 0;
  await redis.commands.del(`{wh:0}:ep:${webhookKey(webhookId)}`);
  for (let sweeps = 0; sweeps < 3; sweeps += 1) await reconciler.sweep();
  expect(requeued).toBe(25_000);
});

test('a sweep leaves alone what is becoming due and on its way into the schedule, and puts back what is older', async () => {
  const webhookId = newWebhookId();
  const [young, old] = [newDue(webhookId, Date.now() + 60_000), newDue(webhookId, Date.now() - 3_600_000)];
  await insertRows(database.pool, [young, old]);
  // A clock that stands still, so that a slow machine does not make the younger one old.
  await createReconciler({ now: () => young.dueAtMs }).sweep();
  expect([...(await scoresOf(webhookId)).keys()]).toEqual([old.deliveryId]);
  expect(requeued).toBe(1);
  await createReconciler({ now: () => young.dueAtMs + 2000 }).sweep();
  expect((await scoresOf(webhookId)).has(young.deliveryId)).toBe(true);
  expect(requeued).toBe(2);
});

test('a delivery that comes to its end while a sweep puts back what it read does not count as missing', async () => {
  const webhookId = newWebhookId();
  const [over, lost] = [newDue(webhookId, Date.now() - 3_600_000), newDue(webhookId, Date.now() - 3_600_000)];
  await insertRows(database.pool, [over, lost]);
  const enqueue = index.enqueue.bind(index);
  index.enqueue = async (items) => {
    await database.pool.query(`update deliveries set status = 'delivered', next_attempt_at = null where id = $1`, [
      over.deliveryId,
    ]);
    return enqueue(items);
  };
  await createReconciler().sweep();
  expect((await scoresOf(webhookId)).has(lost.deliveryId)).toBe(true);
  expect(requeued).toBe(1);
});

test('a rebuild puts in what is becoming due as well', async () => {
  const item = newDue(newWebhookId(), Date.now() + 60_000);
  await insertRows(database.pool, [item]);
  await createReconciler({ now: () => item.dueAtMs }).rebuild();
  expect([...(await scoresOf(item.webhookId)).keys()]).toEqual([item.deliveryId]);
});

test('a rebuild reports what it put back once, and so does a sweep, however many pages that took', async () => {
  const told: number[] = [];
  const reconciler = createReconciler({ intervalMs: 600_000, onRequeued: (count) => told.push(count) });
  await generateRows(database.pool, newWebhookId(), 25_000, 600_000);
  await reconciler.rebuild();
  await redis.commands.flushall();
  await reconciler.sweep();
  expect(told).toEqual([25_000, 25_000]);
});

test('what a process has leased is not given to another by a rebuild', async () => {
  const item = newDue(newWebhookId(), Date.now() - 1);
  await insertRows(database.pool, [item]);
  const reconciler = createReconciler();
  await reconciler.rebuild();
  expect((await index.claim(everything)).leased).toHaveLength(1);
  await reconciler.rebuild();
  await reconciler.sweep();
  expect((await index.claim(everything)).leased).toEqual([]);
});

test('what is unfinished is put back however old it is', async () => {
  const webhookId = newWebhookId();
  const old = { deliveryId: newId('delivery', Date.now() - 400 * DAY_MS), webhookId, dueAtMs: Date.now() - 2000 };
  await insertRows(database.pool, [old]);
  const reconciler = createReconciler();
  await reconciler.rebuild();
  await reconciler.sweep();
  expect([...(await scoresOf(webhookId)).keys()]).toEqual([old.deliveryId]);
});

test('a Redis that is emptied in the middle of a rebuild does not count as complete', async () => {
  await index.beginBuild('interrupted');
  await redis.commands.flushall();
  expect(await index.completeBuild('interrupted')).toBe(false);
  expect(await index.indexState()).toBe('missing');
});

test('a refill that one leader began and did not finish is finished by the next, and Redis gives out meanwhile', async () => {
  await createReconciler().rebuild();
  const [known, missing] = [newDue(newWebhookId(), Date.now() - 5000), newDue(newWebhookId(), Date.now() + 600_000)];
  await insertRows(database.pool, [known]);
  await index.enqueue([known]);
  await index.beginRefill('of one that died');
  expect(await index.indexState()).toBe('outdated');
  expect((await index.claim(everything)).leased).toHaveLength(1);
  await insertRows(database.pool, [missing]);
  await createReconciler().start();
  await eventually(async () => (await index.indexState()) === 'complete');
  expect([...(await scoresOf(missing.webhookId)).keys()]).toEqual([missing.deliveryId]);
});

test('a refill does not make an emptied Redis look as if it had kept its keys', async () => {
  await index.beginRefill('too late');
  expect(await index.indexState()).toBe('missing');
});

test('what was committed while Redis was frozen is in it soon after', async () => {
  const reconciler = createReconciler();
  await reconciler.start();
  await eventually(async () => (await index.indexState()) === 'complete');
  let failures = 0;
  const check = index.checkWritable.bind(index);
  index.checkWritable = () =>
    check().catch((error: unknown) => {
      failures += 1;
      throw error;
    });
  await createReconciler().start();
  server.stop();
  await eventually(() => failures > 0);
  const item = newDue(newWebhookId(), Date.now() + 600_000);
  await insertRows(database.pool, [item]);
  server.cont();
  const scores = await eventually(async () => {
    const found = await scoresOf(item.webhookId);
    return found.size > 0 && found;
  });
  expect([...scores.keys()]).toEqual([item.deliveryId]);
});

test('what a process schedules that alone is cut off from Redis is in it within seconds', async () => {
  await createReconciler({ intervalMs: 600_000 }).start();
  await eventually(async () => (await index.indexState()) === 'complete');
  await database.pool.query(`insert into processes values ('cut off', now(), false, false, now())`);
  const item = newDue(newWebhookId(), Date.now());
  await insertRows(database.pool, [item]);
  await eventually(async () => (await scoresOf(item.webhookId)).size > 0, { deadlineMs: 5000, what: 'it in Redis' });
  await database.pool.query('truncate processes');
});

test('only the leader reconciles', async () => {
  let asked = 0;
  const isLeading = (): boolean => (asked += 1) < 0;
  await createReconciler({ isLeading }).start();
  const leader = createReconciler();
  await eventually(() => asked >= 2);
  expect(await index.indexState()).toBe('missing');
  await leader.start();
  await eventually(async () => (await index.indexState()) === 'complete');
});
