// The schedule when Redis is killed, frozen, emptied or full: PostgreSQL takes over, and gives back.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { FailoverScheduler, type FailoverOptions } from '../../src/schedule/failover-scheduler.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { RedisScheduler, SUSPEND_MS } from '../../src/schedule/redis-scheduler.ts';
import type { Claim, ClaimRequest, Leased, Scheduled } from '../../src/schedule/scheduler.ts';
import { deliveryKey, webhookKey } from '../../src/schedule/shard.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { fill } from './filled.ts';
import { insertRows, newDue, newWebhookId } from './rows.ts';

const LEASE_MS = 1500;
const everything: ClaimRequest = { max: 100, perWebhook: 100, room: new Map() };

let database: TestDatabase;
let server: TestRedis;
let redis: RedisConnection;
let index: RedisScheduler;
let schedule: FailoverScheduler;
let degraded: boolean[];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('truncate deliveries');
  server = await createTestRedis();
  await start(true);
});
afterEach(async () => {
  await schedule.drain();
  redis.close();
  await server.close();
});

async function start(isComplete: boolean): Promise<void> {
  redis = new RedisConnection(server.config, () => undefined);
  await redis.connect().catch(() => undefined);
  degraded = [];
  index = new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS });
  if (isComplete) await fill(index);
  schedule = createSchedule(index);
  await schedule.start();
}

const createSchedule = (of: RedisScheduler, options: Partial<FailoverOptions> = {}): FailoverScheduler =>
  new FailoverScheduler({
    redis: of,
    postgres: new PostgresScheduler(database.pool, { leaseMs: LEASE_MS }),
    leaseMs: LEASE_MS,
    isWorker: true,
    onDegraded: (now) => void (degraded.at(-1) === now || degraded.push(now)),
    onError: () => undefined,
    ...options,
  });

/** Whether a call is over before so many commands, one after the other and begun before it, have timed out. */
async function isOverBefore(call: () => Promise<unknown>, commands: number): Promise<boolean> {
  const timedOut = (async () => {
    for (let n = 0; n < commands; n += 1) await redis.commands.get('key').catch(() => undefined);
    return false;
  })();
  const over = call().then(() => true);
  const isFirst = await Promise.race([over, timedOut]);
  await over;
  return isFirst;
}

async function commit(...items: Scheduled[]): Promise<void> {
  await insertRows(database.pool, items);
}

async function claimIds(): Promise<string[]> {
  return (await schedule.claim(everything)).leased.map((lease) => lease.deliveryId);
}

/** Calls until Redis is given up for it, without taking anything. */
const untilDegraded = (): Promise<unknown> =>
  eventually(async () => {
    await schedule.settle([{ ...newDue(newWebhookId(), 0), leasedIn: 'index', token: 1, dueAtMs: null }]);
    return schedule.isDegraded;
  });

test('with Redis killed, what is committed afterwards is still given out, and once', async () => {
  await server.kill();
  await eventually(() => redis.health().state === 'down');
  await untilDegraded();
  const item = newDue(newWebhookId(), Date.now());
  await commit(item);
  expect(await schedule.enqueue([item])).toBe(0);
  expect(await eventually(async () => (await claimIds())[0])).toBe(item.deliveryId);
  expect(await claimIds()).toEqual([]);
});

test('with Redis frozen, no call takes longer than a command may, and none rejects', async () => {
  server.stop();
  const item = newDue(newWebhookId(), Date.now());
  await commit(item);
  const call = (n: number): Promise<unknown> =>
    n % 2 === 0 ? schedule.enqueue([item]) : schedule.settle([{ ...item, leasedIn: 'index', token: 1, dueAtMs: null }]);
  // Measured in commands that time out beside it, not in milliseconds: a busy machine is late with all of them alike.
  for (let n = 0; n < 10; n += 1) expect(await isOverBefore(() => call(n), 2)).toBe(true);
  expect(await isOverBefore(() => call(0), 1)).toBe(true);
  expect(schedule.isDegraded).toBe(true);
  server.cont();
  await eventually(() => !schedule.isDegraded);
});

test('settling nothing says nothing of Redis: a process that only publishes notices that it is away', async () => {
  await server.kill();
  await schedule.enqueue([newDue(newWebhookId(), Date.now())]);
  await schedule.settle([]);
  await schedule.enqueue([newDue(newWebhookId(), Date.now())]);
  await eventually(() => schedule.isDegraded, { what: 'PostgreSQL serving' });
});

test('what was due while Redis still served is given out by PostgreSQL only after a lease: another process may have leased it', async () => {
  const item = newDue(newWebhookId(), Date.now() - 1);
  await commit(item);
  await schedule.enqueue([item]);
  expect(await claimIds()).toEqual([item.deliveryId]);
  await server.kill();
  await untilDegraded();
  const awayAt = performance.now();
  await eventually(async () => (await claimIds()).includes(item.deliveryId));
  expect(performance.now() - awayAt).toBeGreaterThanOrEqual(LEASE_MS - 50);
});

/** Commits a delivery as one that this process is about to try, as publishing does. */
async function commitHeld(item: Scheduled): Promise<Leased> {
  await commit(item);
  const { rows } = await database.pool.query<{ until: number }>(
    `update deliveries set leased_until = date_trunc('milliseconds', now() + $2::float8 * interval '1 millisecond') where id = $1
     returning (extract(epoch from leased_until) * 1000)::float8 as until`,
    [item.deliveryId, LEASE_MS],
  );
  const { deliveryId, webhookId } = item;
  return {
    deliveryId,
    webhookId,
    leasedIn: 'row',
    token: rows[0]?.until ?? 0,
    expirations: 0,
    expiresAt: performance.now() + LEASE_MS,
  };
}

const leasedUntil = async (): Promise<(Date | null)[]> =>
  (await database.pool.query<{ leased_until: Date | null }>('select leased_until from deliveries')).rows.map(
    (row) => row.leased_until,
  );

test('a delivery leased in its row is not claimed while Redis is away, and is once it was released', async () => {
  await server.kill();
  await untilDegraded();
  const lease = await commitHeld(newDue(newWebhookId(), Date.now()));
  expect(await claimIds()).toEqual([]);
  await schedule.release([{ ...lease, dueAtMs: Date.now() - 1 }]);
  expect(await claimIds()).toEqual([lease.deliveryId]);
});

test('a delivery leased in its row and released can be claimed from Redis, which had no entry for it', async () => {
  const lease = await commitHeld(newDue(newWebhookId(), Date.now()));
  expect(await claimIds()).toEqual([]);
  await schedule.release([{ ...lease, dueAtMs: Date.now() - 1 }]);
  expect(await leasedUntil()).toEqual([null]);
  expect(await claimIds()).toEqual([lease.deliveryId]);
});

test('the outcome of a delivery leased in its row makes no call to Redis, unless it is due again', async () => {
  const lease = await commitHeld(newDue(newWebhookId(), Date.now()));
  await schedule.settle([{ ...lease, dueAtMs: null }]);
  expect(await redis.commands.exists(`{wh:0}:ep:${webhookKey(lease.webhookId)}`)).toBe(0);
  await schedule.settle([{ ...lease, dueAtMs: Date.now() - 1 }]);
  expect(await claimIds()).toEqual([lease.deliveryId]);
});

test('an emptied Redis serves again only once it was filled', async () => {
  await server.kill();
  await untilDegraded();
  await server.restart();
  await eventually(() => redis.health().state === 'up');
  // Asked several times in this while, it stays away.
  await eventually(async () => (await redis.commands.exists('{wh:0}:shut')) === 1);
  expect(schedule.isDegraded).toBe(true);
  await fill(index);
  await eventually(() => !schedule.isDegraded);
  expect(degraded).toEqual([false, true, false]);
  const item = newDue(newWebhookId(), Date.now() - 1);
  expect(await schedule.enqueue([item])).toBe(1);
});

test('a lease that PostgreSQL gave can be ended after Redis is back, and its retry is in Redis then', async () => {
  await server.kill();
  await untilDegraded();
  const lease = await commitHeld(newDue(newWebhookId(), Date.now()));
  await server.restart();
  await eventually(() => redis.health().state === 'up');
  await fill(index);
  await eventually(() => !schedule.isDegraded);
  await schedule.release([{ ...lease, dueAtMs: Date.now() - 1 }]);
  expect(await leasedUntil()).toEqual([null]);
  expect(await eventually(async () => (await claimIds())[0])).toBe(lease.deliveryId);
});

test('a Redis that is full is left, and not gone back to while it is', async () => {
  await redis.commands.config('SET', 'maxmemory-policy', 'noeviction');
  await redis.commands.config('SET', 'maxmemory', '1');
  const item = newDue(newWebhookId(), Date.now());
  await eventually(async () => {
    await schedule.enqueue([item]);
    return schedule.isDegraded;
  });
  await commit({ ...item, dueAtMs: Date.now() });
  expect(await eventually(async () => (await claimIds())[0])).toBe(item.deliveryId);
  await expect(index.checkWritable()).rejects.toThrow('OOM');
  expect(schedule.isDegraded).toBe(true);
  await redis.commands.config('SET', 'maxmemory', '0');
  await eventually(() => !schedule.isDegraded);
});

test('a process that starts without Redis serves from PostgreSQL until it comes', async () => {
  await schedule.drain();
  redis.close();
  await server.kill();
  await start(false);
  expect(schedule.isDegraded).toBe(true);
  const item = newDue(newWebhookId(), Date.now());
  await commit(item);
  expect(await eventually(async () => (await claimIds())[0])).toBe(item.deliveryId);
  await server.restart();
  await eventually(() => redis.health().state === 'up');
  await fill(index);
  await eventually(() => !schedule.isDegraded);
});

test('one process that still serves from PostgreSQL keeps Redis from giving the same deliveries to one that is back', async () => {
  const late = new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS });
  let isLate = true;
  const indexState = late.indexState.bind(late);
  late.indexState = () => (isLate ? Promise.resolve('building') : indexState());
  const other = createSchedule(late);
  await server.kill();
  await other.start();
  await untilDegraded();
  await server.restart();
  await eventually(() => redis.health().state === 'up');
  await fill(index);
  await eventually(() => !schedule.isDegraded);
  const items = Array.from({ length: 20 }, () => newDue(newWebhookId(), Date.now() - 1));
  await commit(...items);
  await schedule.enqueue(items);
  // Asked many times while the other one serves, and by then all is taken there.
  const here: string[] = [];
  const there = new Set<string>();
  await eventually(async () => {
    here.push(...(await claimIds()));
    for (const lease of (await other.claim({ ...everything, max: 4 })).leased) there.add(lease.deliveryId);
    return there.size === items.length;
  });
  expect(here).toEqual([]);
  isLate = false;
  await eventually(() => !other.isDegraded);
  const next = newDue(newWebhookId(), Date.now());
  await commit(next);
  await schedule.enqueue([next]);
  expect(await eventually(async () => (await claimIds()).includes(next.deliveryId))).toBe(true);
  await other.drain();
});

test('a Redis that was emptied between two claims gives nothing out until it is filled', async () => {
  await redis.commands.flushall();
  const item = newDue(newWebhookId(), Date.now() - 1);
  await schedule.enqueue([item]);
  expect(await claimIds()).toEqual([]);
  expect(schedule.isDegraded).toBe(true);
  await fill(index);
  await eventually(() => !schedule.isDegraded);
});

test('a process that was frozen while it served from PostgreSQL asks again before it takes anything from there', async () => {
  await server.kill();
  await untilDegraded();
  const item = newDue(newWebhookId(), Date.now() + 1);
  await commit(item);
  // Nothing of this process runs meanwhile, the question whether Redis is back neither.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, SUSPEND_MS + 100);
  const wokenAt = performance.now();
  expect(await claimIds()).toEqual([]);
  expect(await eventually(async () => (await claimIds())[0])).toBe(item.deliveryId);
  // A lease later: the others may have taken it from Redis, and Redis been lost again.
  expect(performance.now() - wokenAt).toBeGreaterThanOrEqual(LEASE_MS - 50);
});

test('where one process keeps Redis shut for longer than coming back takes, the others serve from PostgreSQL as well', async () => {
  // What a process does whose questions arrive, and whose answers come too late for it.
  await index.suspendClaims();
  const stuck = setInterval(() => void index.suspendClaims(), 100);
  const item = newDue(newWebhookId(), Date.now() - 1);
  await commit(item);
  await schedule.enqueue([item]);
  expect(await eventually(async () => (await claimIds())[0])).toBe(item.deliveryId);
  expect(schedule.isDegraded).toBe(true);
  clearInterval(stuck);
  await eventually(async () => {
    await claimIds();
    return !schedule.isDegraded;
  });
});

test('a process that never claims suspends no claims', async () => {
  const late = new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS });
  let asked = 0;
  late.indexState = () => {
    asked += 1;
    return Promise.resolve('building');
  };
  const publisher = createSchedule(late, { isWorker: false });
  await publisher.start();
  await eventually(() => asked > 2);
  expect(await redis.commands.exists('{wh:0}:shut')).toBe(0);
  await publisher.drain();
});

test('what a slow claim took from PostgreSQL goes back when Redis may have given it out meanwhile', async () => {
  const postgres = new PostgresScheduler(database.pool, { leaseMs: 60_000 });
  const claim = postgres.claim.bind(postgres);
  const [reached, isOpen] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  postgres.claim = async (...request) => {
    const answer = await claim(...request);
    if (answer.leased.length === 0) return answer;
    reached.resolve();
    await isOpen.promise;
    return answer;
  };
  // A process of its own: with the name of the other it would be resumed by it.
  const slow = createSchedule(new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS }), { postgres });
  await server.kill();
  await slow.start();
  const item = newDue(newWebhookId(), Date.now() + 1);
  await commit(item);
  let taken: Promise<Claim> | undefined;
  await eventually(() => {
    taken = slow.claim(everything);
    return Promise.race([reached.promise.then(() => true), taken.then(() => false)]);
  });
  await server.restart();
  await eventually(() => redis.health().state === 'up');
  await fill(index);
  await eventually(() => !slow.isDegraded);
  await eventually(async () => (await redis.commands.exists('{wh:0}:shut')) === 0);
  isOpen.resolve();
  expect((await taken)?.leased).toEqual([]);
  expect(await leasedUntil()).toEqual([null]);
  await slow.drain();
});

test('the outcome of a delivery that is leased in Redis is sent to it once it is back', async () => {
  const item = newDue(newWebhookId(), Date.now());
  await commit(item);
  await schedule.enqueue([item]);
  const [lease] = (await schedule.claim(everything)).leased;
  if (lease === undefined) throw new Error('nothing was leased');
  server.stop();
  await untilDegraded();
  await schedule.settle([{ ...lease, dueAtMs: Date.now() + 60_000 }]);
  server.cont();
  await eventually(() => !schedule.isDegraded);
  const key = `{wh:0}:ep:${webhookKey(item.webhookId)}`;
  await eventually(async () => Number(await redis.commands.zscore(key, deliveryKey(item.deliveryId))) > Date.now() + 30_000);
  expect(await redis.commands.hlen('{wh:0}:held')).toBe(0);
});

test('a key that was broken by hand keeps no process from coming back, nor the rest from being sent', async () => {
  const [broken, whole] = [newDue(newWebhookId(), Date.now()), newDue(newWebhookId(), Date.now() + 60_000)];
  await server.kill();
  await untilDegraded();
  await schedule.settle([{ ...broken, leasedIn: 'index', token: 1, dueAtMs: null }]);
  await schedule.enqueue([whole]);
  await server.restart();
  await eventually(() => redis.health().state === 'up');
  await redis.commands.set(`{wh:0}:ep:${webhookKey(broken.webhookId)}`, 'not a schedule');
  await fill(index);
  await eventually(() => !schedule.isDegraded);
  const key = `{wh:0}:ep:${webhookKey(whole.webhookId)}`;
  await eventually(async () => (await redis.commands.zscore(key, deliveryKey(whole.deliveryId))) !== null);
});

test('a process that comes back resumes claims at once, unless another process has suspended them', async () => {
  const other = new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS });
  await server.kill();
  await untilDegraded();
  await server.restart();
  await eventually(() => redis.health().state === 'up');
  await eventually(async () => (await redis.commands.zcard('{wh:0}:shut')) === 1);
  await other.suspendClaims();
  await fill(index);
  await eventually(() => !schedule.isDegraded);
  await eventually(async () => (await redis.commands.zcard('{wh:0}:shut')) === 1);
  expect((await other.claim(everything)).suspendedForMs).toBeGreaterThan(0);
  await other.resumeClaims();
  expect((await other.claim(everything)).suspendedForMs).toBe(0);
});
