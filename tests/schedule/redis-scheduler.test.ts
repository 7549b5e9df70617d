// What the schedule in Redis promises beyond the model: fairness, fencing, and calm in the face of unknown members.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import type { ClaimRequest } from '../../src/schedule/scheduler.ts';
import { deliveryKey, webhookKey } from '../../src/schedule/shard.ts';
import { eventually } from '../fixtures/eventually.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { fill } from './filled.ts';
import { newDue, newWebhookId } from './rows.ts';

const LEASE_MS = 60_000;
/** Of any test here. */
const MAX_SHARDS = 8;
const everything: ClaimRequest = { max: 100, perWebhook: 100, room: new Map() };
const config = sharedTestRedis();
const redis = new RedisConnection(config, () => undefined);
let keyPrefix: string;
let runs = 0;
let junk: number;

beforeAll(() => redis.connect());
afterAll(() => redis.close());
beforeEach(async () => {
  keyPrefix = `${config.keyPrefix}${(runs += 1)}:`;
  junk = 0;
  await fill(createScheduler({ shards: MAX_SHARDS }));
});

const createScheduler = (options: { leaseMs?: number; shards?: number; now?: () => number } = {}): RedisScheduler =>
  new RedisScheduler(redis, {
    keyPrefix,
    shards: 1,
    leaseMs: LEASE_MS,
    onUnknownMember: (count) => (junk += count),
    ...options,
  });
/** All but the marks that the shards are complete. */
const scheduleKeys = async (): Promise<string[]> =>
  (await redis.commands.keys(`${keyPrefix}*`)).filter((key) => !key.endsWith(':epoch'));
const readyKey = (): string => `${keyPrefix}{wh:0}:ready`;
const itemsKey = (webhookId: string): string => `${keyPrefix}{wh:0}:ep:${webhookKey(webhookId)}`;

test('a webhook with 100,000 due deliveries does not delay another', async () => {
  const scheduler = createScheduler();
  const [busy, quiet] = [newWebhookId(), newWebhookId()];
  const longAgo = Date.now() - 60_000;
  await scheduler.enqueue(Array.from({ length: 100_000 }, () => newDue(busy, longAgo)));
  const mine = newDue(quiet, Date.now() - 1);
  await scheduler.enqueue([mine]);
  const { leased, nextDueInMs } = await scheduler.claim({ max: 100, perWebhook: 16, room: new Map() });
  expect(leased.filter((lease) => lease.webhookId === busy)).toHaveLength(16);
  expect(leased.filter((lease) => lease.webhookId === quiet).map((lease) => lease.deliveryId)).toEqual([mine.deliveryId]);
  expect(nextDueInMs).toBe(0);
});

test('what a webhook may have beyond the usual is taken from what the others leave', async () => {
  const scheduler = createScheduler();
  const [busy, other, usual] = [newWebhookId(), newWebhookId(), newWebhookId()];
  const longAgo = Date.now() - 60_000;
  for (const [webhookId, count] of [
    [busy, 300],
    [other, 300],
    [usual, 40],
  ] as const) {
    await scheduler.enqueue(Array.from({ length: count }, () => newDue(webhookId, longAgo)));
  }
  const claim = async (max: number, room: ReadonlyMap<string, number>) => {
    const { leased, ...rest } = await scheduler.claim({ max, perWebhook: 16, room });
    return {
      taken: [busy, other, usual].map((webhookId) => leased.filter((lease) => lease.webhookId === webhookId).length),
      ...rest,
    };
  };
  // It has more that is due, and room.
  expect(await claim(100, new Map([[busy, 200]]))).toMatchObject({ taken: [68, 16, 16], nextDueInMs: 0 });
  // No more than its room; the next claim is worth making once that has grown.
  const tight = new Map([
    [busy, 50],
    [other, 16],
    [usual, 0],
  ]);
  expect(await claim(500, tight)).toMatchObject({ taken: [50, 16, 0], isLimited: true });
  // Nothing is left for it when the usual of all fills the claim.
  expect((await claim(40, new Map([[busy, 200]]))).taken.every((count) => count <= 16)).toBe(true);
});

test('the webhook that has waited longest comes first', async () => {
  const scheduler = createScheduler();
  const nowMs = Date.now();
  const items = Array.from({ length: 50 }, (_, index) => newDue(newWebhookId(), nowMs - 1000 - ((index * 37) % 50)));
  await scheduler.enqueue(items);
  const { leased } = await scheduler.claim({ max: 50, perWebhook: 1, room: new Map() });
  expect(leased.map((lease) => lease.deliveryId)).toEqual(
    items.toSorted((a, b) => a.dueAtMs - b.dueAtMs).map((item) => item.deliveryId),
  );
});

test('thousands of webhooks without room do not starve the one behind them, nor keep the caller busy', async () => {
  const scheduler = createScheduler();
  const closed = Array.from({ length: 2500 }, newWebhookId);
  await scheduler.enqueue(closed.map((webhookId) => newDue(webhookId, Date.now() - 5000)));
  const mine = newDue(newWebhookId(), Date.now() - 1);
  await scheduler.enqueue([mine]);
  const room = new Map(closed.map((webhookId) => [webhookId, 0]));
  const taken: string[] = [];
  for (let calls = 0; calls < 3; calls += 1) {
    const { leased } = await scheduler.claim({ ...everything, room });
    taken.push(...leased.map((lease) => lease.deliveryId));
  }
  expect(taken).toEqual([mine.deliveryId]);
  // Two more walks over nothing but closed webhooks: at the end of a whole one the caller may sleep.
  const waits: (number | null)[] = [];
  for (let calls = 0; calls < 6; calls += 1) waits.push((await scheduler.claim({ ...everything, room })).nextDueInMs);
  expect(waits.some((wait) => wait !== null && wait > 0)).toBe(true);
});

test('a claim that ends a walk still says what its beginning left behind for want of room', async () => {
  const scheduler = createScheduler();
  // As many as one script looks at: the second claim goes on behind them and finds nothing.
  const busy = Array.from({ length: 1000 }, newWebhookId);
  await scheduler.enqueue(busy.map((webhookId) => newDue(webhookId, Date.now() - 1000)));
  const room = new Map(busy.map((webhookId) => [webhookId, 0]));
  for (let calls = 0; calls < 4; calls += 1) expect((await scheduler.claim({ ...everything, room })).isLimited).toBe(true);
  for (let calls = 0; calls < 10; calls += 1) await scheduler.claim({ ...everything, max: 1000 });
  await scheduler.claim(everything);
  expect((await scheduler.claim(everything)).isLimited).toBe(false);
});

test('a holder whose lease has run out can neither end nor reschedule the delivery', async () => {
  const [stalled, successor] = [createScheduler({ leaseMs: 1 }), createScheduler()];
  const item = newDue(newWebhookId(), Date.now() - 1);
  await stalled.enqueue([item]);
  const [old] = (await stalled.claim(everything)).leased;
  const [present] = await eventually(async () => {
    const { leased } = await successor.claim(everything);
    return leased.length > 0 && leased;
  });
  expect(present).toMatchObject({ deliveryId: item.deliveryId, expirations: 1 });
  if (old === undefined || present === undefined) throw new Error('nothing was leased');
  await stalled.settle([{ ...old, dueAtMs: null }]);
  await stalled.settle([{ ...old, dueAtMs: 0 }]);
  expect(Number(await redis.commands.zscore(itemsKey(item.webhookId), deliveryKey(item.deliveryId)))).toBe(present.token);
  await successor.settle([{ ...present, dueAtMs: null }]);
  expect(await scheduleKeys()).toEqual([]);
});

test('a lease ends here no later than it ends in Redis', async () => {
  const scheduler = createScheduler();
  const before = performance.now();
  const serverBefore = Date.now();
  await scheduler.enqueue([newDue(newWebhookId(), 0)]);
  const [lease] = (await scheduler.claim(everything)).leased;
  if (lease === undefined) throw new Error('nothing was leased');
  const leftHereMs = lease.expiresAt - before;
  const leftThereMs = lease.token - serverBefore;
  // Redis counts whole milliseconds.
  expect(leftHereMs).toBeLessThanOrEqual(leftThereMs + 1);
  expect(leftHereMs).toBeGreaterThanOrEqual(LEASE_MS);
});

test('unknown members and keys are removed and counted, and delay no delivery', async () => {
  const scheduler = createScheduler();
  const item = newDue(newWebhookId(), Date.now() - 1);
  await scheduler.enqueue([item]);
  await redis.commands.zadd(itemsKey(item.webhookId), '1', 'not-a-delivery', '2', 'ILOUILOUILOUILOUILOUILOUIL', '3', '');
  await redis.commands.zadd(readyKey(), '0', 'not-a-webhook', '5', webhookKey(newWebhookId()));
  const broken = newWebhookId();
  await redis.commands.zadd(readyKey(), 1, webhookKey(broken));
  await redis.commands.set(itemsKey(broken), 'a string');
  await redis.commands.hset(`${keyPrefix}{wh:0}:held`, { [deliveryKey(item.deliveryId)]: 'many' });
  const { leased } = await scheduler.claim(everything);
  expect(leased.map((lease) => lease.deliveryId)).toEqual([item.deliveryId]);
  expect(junk).toBe(5);
  expect(await redis.commands.zrange(readyKey(), '0', '-1')).toEqual([webhookKey(item.webhookId)]);
});

test.each(['-inf', '+inf', '1e18', '-1e300'])(
  'a score of %s put there by hand is put right by adding the delivery again',
  async (score) => {
    const scheduler = createScheduler();
    const [first, second] = [newDue(newWebhookId(), Date.now() - 1), newDue(newWebhookId(), Date.now() - 1)];
    await scheduler.enqueue([first, second]);
    await redis.commands.zadd(itemsKey(first.webhookId), score, deliveryKey(first.deliveryId));
    await redis.commands.zadd(readyKey(), score, webhookKey(first.webhookId));
    expect((await scheduler.claim({ ...everything, max: 1, room: new Map([[first.webhookId, 0]]) })).leased).toHaveLength(1);
    expect(await scheduler.enqueue([first])).toBe(0);
    const { leased, nextDueInMs } = await scheduler.claim(everything);
    expect(leased.map((lease) => lease.deliveryId)).toEqual([first.deliveryId]);
    expect(nextDueInMs).toBeLessThanOrEqual(LEASE_MS);
  },
);

test('a lease that no live process can have is no lease', async () => {
  const scheduler = createScheduler();
  const item = newDue(newWebhookId(), Date.now() - 1);
  await scheduler.enqueue([item]);
  await scheduler.claim(everything);
  await redis.commands.zadd(itemsKey(item.webhookId), '1e18', deliveryKey(item.deliveryId));
  await scheduler.enqueue([item]);
  expect((await scheduler.claim(everything)).leased).toHaveLength(1);
});

test('a delivery whose webhook fell out of the upper level is found again when it is added again', async () => {
  const scheduler = createScheduler();
  const item = newDue(newWebhookId(), Date.now() - 1);
  await scheduler.enqueue([item]);
  await redis.commands.del(readyKey());
  expect((await scheduler.claim(everything)).leased).toEqual([]);
  await scheduler.enqueue([item]);
  expect((await scheduler.claim(everything)).leased).toHaveLength(1);
});

test('only what is due now or before all else wakes other processes', async () => {
  const scheduler = createScheduler();
  const channel = `${keyPrefix}wh:wake`;
  const messages: string[] = [];
  redis.subscribe(channel, (message) => messages.push(message));
  await eventually(async () => {
    await redis.commands.publish(channel, 'subscribed');
    return messages.length > 0;
  });
  let markers = 0;
  // Messages of one connection come in order: once the marker is there, so is what came before it.
  const wakesOf = async (dueInMs: number): Promise<boolean> => {
    messages.length = 0;
    await scheduler.enqueue([newDue(newWebhookId(), Date.now() + dueInMs)]);
    const marker = `marker ${(markers += 1)}`;
    await redis.commands.publish(channel, marker);
    await eventually(() => messages.includes(marker));
    return messages.includes('');
  };
  expect(await wakesOf(50_000)).toBe(true);
  expect(await wakesOf(60_000)).toBe(false);
  expect(await wakesOf(40_000)).toBe(true);
  expect(await wakesOf(-1)).toBe(true);
  expect(await wakesOf(-1)).toBe(true);
  expect(await wakesOf(30_000)).toBe(false);
});

test('a process that listens is woken by another', async () => {
  const [here, there] = [createScheduler(), createScheduler()];
  await there.start();
  let wakeups = 0;
  there.onWake(() => (wakeups += 1));
  const woken = eventually(async () => {
    await here.enqueue([newDue(newWebhookId(), 0)]);
    return wakeups > 0;
  });
  await expect(woken).resolves.toBe(true);
});

test('moments are meant by the clock of the database, however far Redis is from it', async () => {
  for (const skewMs of [-600_000, 600_000]) {
    const now = (): number => Date.now() + skewMs;
    const scheduler = createScheduler({ now });
    const [due, later] = [newDue(newWebhookId(), now()), newDue(newWebhookId(), now() + 30_000)];
    await scheduler.enqueue([due, later]);
    const { leased, nextDueInMs } = await scheduler.claim(everything);
    expect(leased.map((lease) => lease.deliveryId)).toEqual([due.deliveryId]);
    expect(nextDueInMs).toBeGreaterThan(29_000);
    expect(nextDueInMs).toBeLessThanOrEqual(30_000);
    const [lease] = leased;
    if (lease !== undefined) await scheduler.settle([{ ...lease, dueAtMs: now() + 20_000 }]);
    expect((await scheduler.claim(everything)).nextDueInMs).toBeLessThanOrEqual(20_000);
    await redis.commands.del(await scheduleKeys());
  }
});

test('spread over shards, a claim still finds all that is due and no more than asked for', async () => {
  const scheduler = createScheduler({ shards: 7 });
  const items = Array.from({ length: 60 }, () => newDue(newWebhookId(), Date.now() - 1));
  expect(await scheduler.enqueue(items)).toBe(60);
  const taken: string[] = [];
  for (let calls = 0; calls < 30 && taken.length < 60; calls += 1) {
    const { leased } = await scheduler.claim({ max: 5, perWebhook: 2, room: new Map() });
    expect(leased.length).toBeLessThanOrEqual(5);
    taken.push(...leased.map((lease) => lease.deliveryId));
  }
  expect(taken.toSorted()).toEqual(items.map((item) => item.deliveryId).toSorted());
});

test('two processes that claim at once never get the same delivery', async () => {
  const processes = Array.from({ length: 4 }, () => createScheduler());
  const webhooks = Array.from({ length: 5 }, newWebhookId);
  await processes[0]?.enqueue(Array.from({ length: 400 }, (_, index) => newDue(webhooks[index % 5] ?? '', Date.now() - 1)));
  const claimAs = async (index: number) => processes[index % 4]?.claim({ max: 20, perWebhook: 7, room: new Map() });
  const claims = await Promise.all(Array.from({ length: 40 }, (_, index) => claimAs(index)));
  const taken = claims.flatMap((claim) => claim?.leased.map((lease) => lease.deliveryId) ?? []);
  expect(new Set(taken).size).toBe(taken.length);
  expect(taken).toHaveLength(400);
});
