// The schedule on a Redis Cluster: a shard lives on one slot, the shards on all nodes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from 'ioredis';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestCluster, type TestCluster } from '../fixtures/redis-cluster.ts';
import { newDue, newWebhookId } from './rows.ts';

let cluster: TestCluster;
let redis: RedisConnection;
let scheduler: RedisScheduler;

beforeAll(async () => {
  cluster = await createTestCluster();
  redis = new RedisConnection(cluster.config, () => undefined);
  await redis.connect();
  scheduler = new RedisScheduler(redis, { ...cluster.config, leaseMs: 60_000 });
  await scheduler.start();
});
afterAll(async () => {
  redis.close();
  await cluster.close();
});

test('the marks of a rebuild stand on every shard', async () => {
  expect(await scheduler.indexState()).toBe('missing');
  await scheduler.beginBuild('one');
  expect(await scheduler.indexState()).toBe('building');
  expect(await scheduler.completeBuild('another')).toBe(false);
  expect(await scheduler.completeBuild('one')).toBe(true);
  expect(await scheduler.indexState()).toBe('complete');
});

test('deliveries go round through every shard and every node', async () => {
  const webhooks = Array.from({ length: 100 }, newWebhookId);
  const items = webhooks.flatMap((webhookId) => [newDue(webhookId, Date.now() - 1), newDue(webhookId, Date.now() - 1)]);
  expect(await scheduler.enqueue(items)).toBe(200);
  if (!(redis.commands instanceof Cluster)) throw new Error('not a cluster');
  for (const node of redis.commands.nodes('master')) expect(await node.dbsize()).toBeGreaterThan(0);
  const taken = [];
  for (let calls = 0; calls < 100 && taken.length < 200; calls += 1) {
    taken.push(...(await scheduler.claim({ max: 50, perWebhook: 1, room: new Map() })).leased);
  }
  expect(taken.map((lease) => lease.deliveryId).toSorted()).toEqual(items.map((item) => item.deliveryId).toSorted());
  await scheduler.settle(taken.map((lease) => ({ ...lease, dueAtMs: null })));
  const left = await Promise.all(redis.commands.nodes('master').map((node) => node.keys('*')));
  expect(left.flat().filter((key) => !key.endsWith(':epoch'))).toEqual([]);
});

test('a wake-up reaches listeners whichever node they are connected to', async () => {
  const other = new RedisConnection(cluster.config, () => undefined);
  await other.connect();
  let wakeups = 0;
  scheduler.onWake(() => (wakeups += 1));
  const there = new RedisScheduler(other, { ...cluster.config, leaseMs: 60_000 });
  const woken = eventually(async () => {
    await there.enqueue([newDue(newWebhookId(), 0)]);
    return wakeups > 0;
  });
  await expect(woken).resolves.toBe(true);
  other.close();
});
