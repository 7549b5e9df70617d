// Processes that send and do not all reach Redis: each delivery is one process's, and none waits longer than it takes to notice.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { FailoverScheduler } from '../../src/schedule/failover-scheduler.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { RedisPresence } from '../../src/schedule/redis-presence.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import type { ClaimRequest, Scheduled } from '../../src/schedule/scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestRedis, redisAt, type TestRedis } from '../fixtures/redis.ts';
import { fill } from './filled.ts';
import { startProxy, type Proxy } from './proxy.ts';
import { insertRows, newDue, newWebhookId } from './rows.ts';

/** So long that nothing in a test can be waiting for its end. */
const LEASE_MS = 60_000;
const everything: ClaimRequest = { max: 100, perWebhook: 100, room: new Map() };

interface Process {
  readonly schedule: FailoverScheduler;
  readonly proxy: Proxy;
  readonly taken: string[];
  claim(): Promise<readonly string[]>;
  end(): Promise<void>;
}

let database: TestDatabase;
let server: TestRedis;
let started: Process[];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('truncate deliveries, processes');
  server = await createTestRedis();
  started = [];
});
afterEach(async () => {
  for (const one of started) await one.end();
  await server.close();
});

async function start(): Promise<Process> {
  const proxy = await startProxy(() => server.config.port);
  const redis = new RedisConnection(redisAt('127.0.0.1', proxy.port), () => undefined);
  await redis.connect();
  const index = new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS });
  if (started.length === 0) await fill(index);
  const schedule = new FailoverScheduler({
    redis: index,
    postgres: new PostgresScheduler(database.pool, { leaseMs: LEASE_MS }),
    presence: new RedisPresence({ pool: database.pool, claims: true, onError: () => undefined }),
    leaseMs: LEASE_MS,
    isWorker: true,
    onDegraded: () => undefined,
    onError: () => undefined,
  });
  await schedule.start();
  const taken: string[] = [];
  const one: Process = {
    schedule,
    proxy,
    taken,
    async claim() {
      const ids = (await schedule.claim(everything)).leased.map(({ deliveryId }) => deliveryId);
      taken.push(...ids);
      return ids;
    },
    async end() {
      await schedule.drain();
      redis.close();
      await proxy.close();
    },
  };
  started.push(one);
  return one;
}

/** Due from now on, in its row and in Redis as far as `by` reaches it. */
async function newlyDue(by: Process): Promise<Scheduled> {
  const item = newDue(newWebhookId(), Date.now() + 1);
  await insertRows(database.pool, [item]);
  await by.schedule.enqueue([item]);
  return item;
}

/** What is due from then on, no claim so far can have taken, whatever the clocks of both stores say. */
async function isPastClaims(): Promise<void> {
  const from = performance.now();
  await eventually(() => performance.now() > from + 100);
}

test('a process that alone is cut off from Redis takes nothing that another can take there', async () => {
  const [served, cutOff] = [await start(), await start()];
  cutOff.proxy.cut();
  await eventually(() => cutOff.schedule.isDegraded);
  const items = [];
  for (let n = 0; n < 20; n += 1) {
    items.push(await newlyDue(served));
    await Promise.all([cutOff.claim(), served.claim()]);
  }
  await eventually(async () => (await served.claim(), served.taken.length >= items.length));
  expect(new Set(served.taken).size).toBe(items.length);
  expect(cutOff.taken).toEqual([]);
});

test('when Redis is gone for all, what became due since is given out at once, and once, however long a lease is', async () => {
  const [one, other] = [await start(), await start()];
  await Promise.all([one.claim(), other.claim()]);
  await server.kill();
  await isPastClaims();
  const items = [await newlyDue(one), await newlyDue(other), await newlyDue(one)];
  await eventually(
    async () => {
      await Promise.all([one.claim(), other.claim()]);
      return one.taken.length + other.taken.length >= items.length;
    },
    { deadlineMs: 5000, what: 'everything given out' },
  );
  expect([...one.taken, ...other.taken].toSorted()).toEqual(items.map(({ deliveryId }) => deliveryId).toSorted());
});

test('what another process may have leased in Redis is left alone for a lease, whichever process noticed first that Redis is gone', async () => {
  const [one, other] = [await start(), await start()];
  const held = await newlyDue(one);
  await eventually(async () => (await other.claim()).includes(held.deliveryId));
  await server.kill();
  await eventually(() => one.schedule.isDegraded && other.schedule.isDegraded);
  await isPastClaims();
  const later = await newlyDue(one);
  await eventually(async () => (await one.claim()).includes(later.deliveryId));
  expect(one.taken).not.toContain(held.deliveryId);
});

test('a process that ended keeps no other from taking over', async () => {
  const [one, other] = [await start(), await start()];
  await other.end();
  started.pop();
  await server.kill();
  await isPastClaims();
  const item = await newlyDue(one);
  await eventually(async () => (await one.claim()).includes(item.deliveryId), { deadlineMs: 5000 });
});

test('a process that died without a word keeps the others from taking over only until it counts as dead', async () => {
  const one = await start();
  await database.pool.query(`insert into processes values ('dead', now(), true, true, now())`);
  await server.kill();
  await eventually(() => one.schedule.isDegraded);
  await isPastClaims();
  const item = await newlyDue(one);
  expect(await one.claim()).toEqual([]);
  await database.pool.query(`update processes set seen_at = now() - interval '1 hour' where id = 'dead'`);
  await eventually(async () => (await one.claim()).includes(item.deliveryId));
});

test('one that reaches Redis again before the others claims there only when they have read that it does', async () => {
  const [first, late] = [await start(), await start()];
  for (const one of [first, late]) one.proxy.cut();
  await eventually(() => first.schedule.isDegraded && late.schedule.isDegraded);
  await isPastClaims();
  const before = await newlyDue(late);
  await eventually(async () => (await late.claim()).includes(before.deliveryId));
  first.proxy.mend();
  const items: Scheduled[] = [];
  await eventually(async () => {
    items.push(await newlyDue(first));
    await Promise.all([first.claim(), late.claim()]);
    return !first.schedule.isDegraded;
  });
  await eventually(async () => {
    await Promise.all([first.claim(), late.claim()]);
    return first.taken.length + late.taken.length >= items.length + 1;
  });
  // What both found due was taken by one of them, or is seen to be held when its row is loaded.
  const rows = await database.pool.query<{ id: string }>('select id from deliveries where leased_until is not null');
  const inRows = new Set(rows.rows.map(({ id }) => id));
  expect(first.taken.filter((id) => late.taken.includes(id) && !inRows.has(id))).toEqual([]);
  expect(late.taken.every((id) => inRows.has(id))).toBe(true);
});
