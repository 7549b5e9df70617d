// Webhooks whose receivers are away: the schedule in Redis leaves them alone, keeps no other webhook waiting for them, and notices when they are back.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import type { ClaimRequest, Leased } from '../../src/schedule/scheduler.ts';
import { webhookKey } from '../../src/schedule/shard.ts';
import { eventually } from '../fixtures/eventually.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { fill } from './filled.ts';
import { newDue, newWebhookId } from './rows.ts';

const HOUR_MS = 3_600_000;
const CLAIM: ClaimRequest = { max: 100, perWebhook: 16, room: new Map(), maxProbes: 4 };
const config = sharedTestRedis();
const redis = new RedisConnection(config, () => undefined);
let keyPrefix: string;
let runs = 0;
let scheduler: RedisScheduler;

beforeAll(() => redis.connect());
afterAll(() => redis.close());
beforeEach(async () => {
  keyPrefix = `${config.keyPrefix}suspects${(runs += 1)}:`;
  scheduler = new RedisScheduler(redis, { keyPrefix, shards: 1, leaseMs: HOUR_MS / 2 });
  await fill(scheduler);
});

const key = (name: string): string => `${keyPrefix}{wh:0}:${name}`;
const newSuspects = (count: number): string[] => Array.from({ length: count }, newWebhookId);
const idsOf = (leased: readonly Leased[]): string[] => leased.map((lease) => lease.webhookId);

test('thousands of dead webhooks, due for longer, keep none of the places of a healthy one', async () => {
  const dead = newSuspects(5000);
  await scheduler.suspect(dead);
  await scheduler.enqueue(dead.map((webhookId) => newDue(webhookId, Date.now() - 60_000)));
  const healthy = newWebhookId();
  await scheduler.enqueue(Array.from({ length: 16 }, () => newDue(healthy, Date.now() - 1)));
  const { leased } = await scheduler.claim({ ...CLAIM, max: 20 });
  expect(idsOf(leased).filter((webhookId) => webhookId === healthy)).toHaveLength(16);
  expect(leased.filter((lease) => lease.isProbe)).toHaveLength(4);
  expect(await redis.commands.zcard(key('ready'))).toBe(1);
});

test('of a dead webhook one delivery is taken, and no other until its outcome is settled', async () => {
  const [dead] = newSuspects(1) as [string];
  await scheduler.suspect([dead]);
  await scheduler.enqueue(Array.from({ length: 5 }, () => newDue(dead, Date.now() - 1000)));
  const { leased } = await scheduler.claim(CLAIM);
  expect(leased.map(({ isProbe }) => isProbe)).toEqual([true]);
  expect((await scheduler.claim(CLAIM)).leased).toEqual([]);
});

test('a webhook is left alone for as long as it is said, whatever is added meanwhile', async () => {
  const webhookId = newWebhookId();
  await scheduler.enqueue([newDue(webhookId, Date.now() - 1000)]);
  const [lease] = (await scheduler.claim(CLAIM)).leased as [Leased];
  await scheduler.settle([{ ...lease, dueAtMs: Date.now() - 1, leftAloneUntilMs: Date.now() + 300 }]);
  await scheduler.enqueue([newDue(webhookId, Date.now() - 1000)]);
  const early = await scheduler.claim(CLAIM);
  expect(early.leased).toEqual([]);
  expect(early.nextDueInMs).toBeLessThanOrEqual(300);
  const probes = await eventually(async () => {
    const { leased } = await scheduler.claim(CLAIM);
    return leased.length > 0 && leased;
  });
  expect(probes).toHaveLength(1);
});

test('a receiver that answers its probe gets everything at once, and sleepers are woken', async () => {
  const dead = newWebhookId();
  await scheduler.suspect([dead]);
  await scheduler.enqueue(Array.from({ length: 10 }, () => newDue(dead, Date.now() - 1000)));
  const [probe] = (await scheduler.claim(CLAIM)).leased as [Leased];
  let isWoken = false;
  await scheduler.start();
  scheduler.onWake(() => (isWoken = true));
  await eventually(async () => {
    await redis.commands.publish(`${keyPrefix}wh:wake`, '');
    return isWoken;
  });
  isWoken = false;
  await scheduler.settle([{ ...probe, dueAtMs: null, leftAloneUntilMs: 0 }]);
  await eventually(() => isWoken);
  expect((await scheduler.claim(CLAIM)).leased).toHaveLength(9);
  expect(await redis.commands.exists(key('suspects'), key('probing'))).toBe(0);
});

test('a probe that ended untried is followed by another soon, not at once', async () => {
  const dead = newWebhookId();
  await scheduler.suspect([dead]);
  await scheduler.enqueue([newDue(dead, Date.now() - 1000)]);
  const [probe] = (await scheduler.claim(CLAIM)).leased as [Leased];
  await scheduler.release([{ ...probe, dueAtMs: Date.now() - 1 }]);
  const { leased, nextDueInMs } = await scheduler.claim(CLAIM);
  expect(leased).toEqual([]);
  expect(nextDueInMs).toBeLessThanOrEqual(1000);
});

test('a queue that is always full leaves no receiver unprobed', async () => {
  const dead = newWebhookId();
  await scheduler.suspect([dead]);
  await scheduler.enqueue([newDue(dead, Date.now() - 1)]);
  await scheduler.enqueue(Array.from({ length: 500 }, () => newDue(newWebhookId(), Date.now() - 60_000)));
  const { leased } = await scheduler.claim({ ...CLAIM, max: 10 });
  expect(leased).toHaveLength(10);
  expect(idsOf(leased)).toContain(dead);
});

test('a suspect that a process of an earlier version put among the others is not taken for one of them', async () => {
  const dead = newWebhookId();
  await scheduler.enqueue(Array.from({ length: 5 }, () => newDue(dead, Date.now() - 1000)));
  await scheduler.suspect([dead]);
  expect(idsOf((await scheduler.claim({ ...CLAIM, maxProbes: 0 })).leased)).toEqual([]);
  expect(idsOf((await scheduler.claim(CLAIM)).leased)).toEqual([dead]);
});

test('a webhook without deliveries is remembered no longer', async () => {
  const dead = newWebhookId();
  await scheduler.suspect([dead]);
  await scheduler.enqueue([newDue(dead, Date.now() - 1000)]);
  const [probe] = (await scheduler.claim(CLAIM)).leased as [Leased];
  await scheduler.settle([{ ...probe, dueAtMs: null, leftAloneUntilMs: Date.now() + 10_000 }]);
  expect(await redis.commands.hexists(key('suspects'), webhookKey(dead))).toBe(0);
  expect(await redis.commands.exists(key('suspects'), key('probing'), key('ready'))).toBe(0);
});
