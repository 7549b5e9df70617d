// The connection to Redis: what a server refuses is one sentence that names what to change, and deliveries need as little as is documented.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RedisConfig } from '../../src/config.ts';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { fill } from '../schedule/filled.ts';
import { newDue, newWebhookId } from '../schedule/rows.ts';

let server: TestRedis;
let operator: RedisConnection;

beforeAll(async () => {
  server = await createTestRedis();
  operator = new RedisConnection(server.config, () => undefined);
  await operator.connect();
});
afterAll(async () => {
  operator.close();
  await server.close();
});

async function connect(config: Partial<RedisConfig>): Promise<{ redis: RedisConnection; warnings: string[] }> {
  const warnings: string[] = [];
  const redis = new RedisConnection({ ...server.config, ...config }, (sentence) => warnings.push(sentence));
  await redis.connect().catch(() => undefined);
  return { redis, warnings };
}

/** A user with these rules; its password is its name. */
async function createUser(name: string, ...rules: string[]): Promise<{ username: string; password: string }> {
  await operator.commands.call('ACL', 'SETUSER', name, 'reset', 'on', `>${name}`, ...rules);
  return { username: name, password: name };
}

const connections = async (): Promise<number> =>
  Number(/total_connections_received:(\d+)/.exec(await operator.commands.info('stats'))?.[1]);

test('a wrong password is one line, however often the connection is tried', async () => {
  const before = await connections();
  const { redis, warnings } = await connect({ username: 'nobody', password: 'wrong' });
  await eventually(async () => (await connections()) > before + 5);
  expect(warnings).toEqual(['Redis refuses REDIS_USERNAME and REDIS_PASSWORD (WRONGPASS)']);
  expect(redis.health().state).toBe('down');
  redis.close();
});

test('a database that the server does not have is refused in one line, and nothing is written to number 0', async () => {
  const before = await connections();
  const { redis, warnings } = await connect({ db: 99 });
  const write = redis.commands.set('written', 'to 0').catch(() => undefined);
  await eventually(async () => {
    await redis.commands.set('written', 'to 0').catch(() => undefined);
    return (await connections()) > before + 5;
  });
  await write;
  expect(warnings).toEqual(['Redis has no database of the number in REDIS_DB']);
  expect(await operator.commands.exists('written')).toBe(0);
  redis.close();
});

test('a database that the server has is the one that is written to', async () => {
  const { redis, warnings } = await connect({ db: 3 });
  await redis.commands.set('written', 'to 3');
  expect(await operator.commands.exists('written')).toBe(0);
  expect(warnings).toEqual([]);
  redis.close();
});

test('a process that got no processor while it subscribed says nothing of it, and is subscribed', async () => {
  const { redis, warnings } = await connect({});
  const messages: string[] = [];
  redis.subscribe('hc-late', (message) => messages.push(message));
  // For longer than a command may take: its timer ends before the reply that has long arrived is read.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700);
  await eventually(async () => {
    await operator.commands.publish('hc-late', 'heard');
    return messages.includes('heard');
  });
  expect(warnings).toEqual([]);
  redis.close();
});

test.each([
  ['info', 'Its memory policy is not checked'],
  ['publish', 'Processes do not wake each other'],
  ['hscan', 'What a dead process holds in Redis waits until its leases run out'],
  ['incrby', 'Each process counts calls and requests for itself'],
  ['subscribe', 'Without the subscription to wh:wake'],
])('a user without %s is told which command to grant and what it is for, once', async (command, purpose) => {
  const user = await createUser(`without-${command}`, '~*', '&*', '+@all', `-${command}`);
  const { redis, warnings } = await connect(user);
  redis.subscribe('wh:wake', () => undefined);
  await eventually(() => warnings.length > 0);
  expect(warnings).toEqual([
    expect.stringContaining(`Redis forbids its user the command ${command}: grant +${command}. ${purpose}`),
  ]);
  await expect(new RedisScheduler(redis, { ...server.config, leaseMs: 1000 }).checkWritable()).resolves.toBeUndefined();
  redis.close();
});

test('the user of docs/operations.md may do all that the service does, and no more', async () => {
  const rules = /^ACL SETUSER homechef on >\S+ (.+)$/m.exec(readFileSync('docs/operations.md', 'utf8'))?.[1]?.split(' ') ?? [];
  const user = await createUser('documented', ...rules);
  const { redis, warnings } = await connect(user);
  const heard: string[] = [];
  redis.subscribe('wh:wake', (message) => heard.push(message));
  const stop = redis.listen('wh:updates', { onMessage: (message) => heard.push(message) });
  const index = new RedisScheduler(redis, { ...server.config, leaseMs: 1000 });
  await fill(index);
  await index.checkWritable();
  const item = newDue(newWebhookId(), Date.now() - 1);
  await index.enqueue([item]);
  const [lease] = (await index.claim({ max: 10, perWebhook: 10, room: new Map() })).leased;
  expect(lease?.deliveryId).toBe(item.deliveryId);
  expect(await index.leasedBy(17)).toEqual([]);
  expect(await index.rescue(17, [item])).toBe(0);
  if (lease !== undefined) await index.settle([{ ...lease, dueAtMs: null }]);
  await index.suspendClaims();
  await index.resumeClaims();
  await eventually(async () => (await redis.broadcast('wh:updates', 'changed')) === 1);
  await eventually(() => heard.includes('changed'));
  stop();
  const forbidden = ['flushall', 'randomkey', 'dbsize', 'lastsave'];
  for (const command of forbidden) await expect(redis.commands.call(command)).rejects.toThrow('NOPERM');
  await expect(redis.commands.get('of others')).rejects.toThrow('NOPERM');
  expect(warnings).toEqual([]);
  // Each command that it is granted is needed: without it something is refused, or a line says so.
  const log = (await operator.commands.call('ACL', 'LOG')) as unknown[][];
  expect(
    log
      .map((entry) => JSON.stringify(entry))
      .filter((entry) => entry.includes('documented') && !isDeliberate(entry, forbidden)),
  ).toEqual([]);
  redis.close();
});

function isDeliberate(entry: string, forbidden: readonly string[]): boolean {
  return [...forbidden, 'of others'].some((name) => entry.includes(`"${name}`));
}
