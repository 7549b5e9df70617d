// A Redis that answers and does not do what the schedule needs is away: PostgreSQL takes over, the log says why once, and it is come back to.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { FailoverScheduler } from '../../src/schedule/failover-scheduler.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import type { ClaimRequest } from '../../src/schedule/scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestRedis, redisAt, type TestRedis } from '../fixtures/redis.ts';
import { fill } from './filled.ts';
import { startProxy } from './proxy.ts';
import { insertRows, newDue, newWebhookId } from './rows.ts';

const LEASE_MS = 1500;
const everything: ClaimRequest = { max: 100, perWebhook: 100, room: new Map() };
/** A user that an operator made for the service; `default` stays for the tests' own commands. */
const USER = { username: 'homechef', password: 'a password' };

let database: TestDatabase;
let server: TestRedis;
let directory: string;
let operator: RedisConnection;
let redis: RedisConnection;
let schedule: FailoverScheduler;
let said: (string | null)[];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('truncate deliveries');
  directory = await mkdtemp(join(tmpdir(), 'homechef-redis-'));
  server = await createTestRedis(['--dir', directory, '--dbfilename', 'dump']);
  operator = new RedisConnection(server.config, () => undefined);
  await operator.connect();
  await operator.commands.call('ACL', 'SETUSER', USER.username, 'on', `>${USER.password}`, '~*', '&*', '+@all');
  redis = new RedisConnection({ ...server.config, ...USER }, () => undefined);
  await redis.connect();
  const index = new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS });
  await fill(index);
  said = [];
  schedule = new FailoverScheduler({
    redis: index,
    postgres: new PostgresScheduler(database.pool, { leaseMs: LEASE_MS }),
    leaseMs: LEASE_MS,
    isWorker: true,
    onDegraded: (isDegraded, why) => said.push(isDegraded ? why : 'back'),
    onError: () => undefined,
  });
  await schedule.start();
  said = [];
});
afterEach(async () => {
  await schedule.drain();
  for (const connection of [redis, operator]) connection.close();
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

const allow = (...rules: string[]): Promise<unknown> => operator.commands.call('ACL', 'SETUSER', USER.username, ...rules);

/** Saving fails, as on a full disk: Redis then refuses writes and answers reads. */
async function refuseWrites(): Promise<void> {
  await operator.commands.config('SET', 'save', '3600 1');
  await mkdir(join(directory, 'dump'));
  await operator.commands.bgsave();
  await eventually(async () => /rdb_last_bgsave_status:err/.test(await operator.commands.info('persistence')));
}

async function takeWrites(): Promise<void> {
  await rm(join(directory, 'dump'), { recursive: true });
  await eventually(async () => {
    await operator.commands.bgsave().catch(() => undefined);
    return /rdb_last_bgsave_status:ok/.test(await operator.commands.info('persistence'));
  });
}

/** Whether the schedule gives out what is due from now on, as it does with a healthy Redis. */
async function givesOut(): Promise<void> {
  const item = newDue(newWebhookId(), Date.now() + 1);
  await insertRows(database.pool, [item]);
  await schedule.enqueue([item]);
  await eventually(async () =>
    (await schedule.claim(everything)).leased.some(({ deliveryId }) => deliveryId === item.deliveryId),
  );
}

const faults: { name: string; begin: () => Promise<unknown>; end: () => Promise<unknown>; why: RegExp }[] = [
  { name: 'cannot save and refuses writes', begin: refuseWrites, end: takeWrites, why: /could not save to its disk/ },
  {
    name: 'is full',
    begin: () => operator.commands.config('SET', 'maxmemory', '1'),
    end: () => operator.commands.config('SET', 'maxmemory', '0'),
    why: /full \(OOM\)/,
  },
  {
    name: 'was demoted to a replica',
    begin: () => operator.commands.replicaof('127.0.0.1', 1),
    end: () => operator.commands.replicaof('NO', 'ONE'),
    why: /is a replica/,
  },
  {
    name: 'wants more replicas than it has',
    begin: () => operator.commands.config('SET', 'min-replicas-to-write', '1'),
    end: () => operator.commands.config('SET', 'min-replicas-to-write', '0'),
    why: /too few replicas/,
  },
  {
    name: 'forbids scripts',
    begin: () => allow('-eval', '-evalsha', '-script'),
    end: () => allow('+@all'),
    why: /forbids its user the command evalsha: grant \+evalsha/,
  },
  ...['zadd', 'hset', 'zmscore', 'unlink', 'pexpire', 'get'].map((command) => ({
    name: `forbids ${command}`,
    begin: () => allow(`-${command}`),
    end: () => allow('+@all'),
    why: new RegExp(`forbids its user the command ${command}: grant \\+${command}`),
  })),
  {
    name: 'forbids its keys',
    begin: () => allow('resetkeys', '~others:*'),
    end: () => allow('~*'),
    why: /reach too few keys: grant ~/,
  },
];

for (const fault of faults) {
  test(`a Redis that ${fault.name} is left while nothing is due, one sentence says why, and it is come back to`, async () => {
    await fault.begin();
    await eventually(() => schedule.isDegraded, { what: 'PostgreSQL serving' });
    await givesOut();
    await givesOut();
    expect(said).toEqual([expect.stringMatching(fault.why)]);
    await fault.end();
    await eventually(() => !schedule.isDegraded, { what: 'Redis serving' });
    expect(said).toHaveLength(2);
    await givesOut();
    expect(schedule.isDegraded).toBe(false);
  });
}

test('a refused write is the end of it, however many claims read in between', async () => {
  await refuseWrites();
  const claimed = schedule.claim(everything);
  await schedule.enqueue([newDue(newWebhookId(), Date.now() + 60_000)]);
  await claimed;
  await schedule.claim(everything);
  await eventually(() => schedule.isDegraded, { deadlineMs: 900, what: 'PostgreSQL serving before the next look' });
});

test('a master that was demoted is left for the one that stands behind its address by then', async () => {
  // What a proxy or a name does at a failover: the old connections stay, and new ones lead to the new master.
  const standIn = await createTestRedis();
  let target = server.config.port;
  const proxy = await startProxy(() => target);
  const connection = new RedisConnection(redisAt('127.0.0.1', proxy.port), () => undefined);
  await connection.connect();
  const index = new RedisScheduler(connection, { ...standIn.config, leaseMs: LEASE_MS });
  await index.checkWritable();
  target = standIn.config.port;
  await operator.commands.replicaof('127.0.0.1', standIn.config.port);
  await eventually(
    () =>
      index.checkWritable().then(
        () => true,
        () => false,
      ),
    { what: 'writes at the new master' },
  );
  connection.close();
  await proxy.close();
  await standIn.close();
});
