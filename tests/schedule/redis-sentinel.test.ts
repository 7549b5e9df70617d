// Redis behind Sentinel: when the master is lost, the service goes on with the replica that the sentinels promote, and retries go on meanwhile.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { createTestSentinels, type TestSentinels } from '../fixtures/redis-sentinel.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';

const DEADLINE_MS = 30_000;

let sentinels: TestSentinels;

beforeEach(async () => {
  sentinels = await createTestSentinels();
}, 60_000);
afterEach(() => sentinels.close());

async function redisState(service: TestApp): Promise<string> {
  const report = (await (await fetch(`${service.http}/readyz`)).json()) as { redis: string };
  return report.redis;
}

/** Publishes one event to a receiver that takes it with the third request. Resolves once the first was refused. */
async function beginRetries(service: TestApp, receiver: Receiver): Promise<void> {
  receiver.script('/mends', 500, 500, 200);
  const retry_policy = { max_retries: 5, retry_delay: 3 };
  await createWebhook(await service.as('user123'), receiver.url('/mends'), { retry_policy });
  await publish(await service.as('orders', 'service'), ['user123']);
  await eventually(() => receiver.at('/mends').length === 1, { what: 'the first request' });
}

test.each([
  ['is killed', async (lost: TestSentinels) => lost.master.kill()],
  ['hangs, with its connections open', async (lost: TestSentinels) => lost.master.stop()],
])(
  'a master that %s: retries go on, and the promoted replica serves the schedule',
  async (_how, lose) => {
    const receiver = await startReceiver();
    const service = await startApp({ redis: sentinels.config });
    expect(await redisState(service)).toBe('ok');
    await beginRetries(service, receiver);
    await lose(sentinels);
    await eventually(async () => (await redisState(service)) === 'degraded', { what: 'the loss', deadlineMs: DEADLINE_MS });
    await eventually(async () => (await sentinels.masterPort()) === sentinels.replica.config.port, {
      what: 'the failover',
      deadlineMs: DEADLINE_MS,
    });
    await eventually(async () => (await redisState(service)) === 'ok', { what: 'the way back', deadlineMs: DEADLINE_MS });
    await eventually(() => receiver.at('/mends').length === 3, { what: 'the retries', deadlineMs: DEADLINE_MS });
    expect(receiver.at('/mends').map((request) => request.headers['x-homechef-attempt'])).toEqual(['1', '2', '3']);
    await service.close();
    await receiver.close();
  },
  90_000,
);

test('sentinels that do not lead to a master are logged in one line, and asked again', async () => {
  const { config } = sentinels;
  const sentinel = config.sentinel ?? { nodes: [], master: '', username: null, password: null };
  for (const [change, sentence] of [
    [{ master: 'another' }, 'The sentinels of REDIS_SENTINELS know no master of the name in REDIS_SENTINEL_NAME'],
    [
      { password: 'wrong' },
      'The sentinels of REDIS_SENTINELS refuse REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD (WRONGPASS)',
    ],
    [{ password: null }, 'The sentinels of REDIS_SENTINELS want a password: set REDIS_SENTINEL_PASSWORD (NOAUTH)'],
    [{ nodes: ['127.0.0.1:1'] }, 'No sentinel of REDIS_SENTINELS can be reached'],
  ] as const) {
    const warnings: string[] = [];
    let tries = 0;
    const redis = new RedisConnection({ ...config, sentinel: { ...sentinel, ...change } }, (warning) => warnings.push(warning));
    redis.commands.on('error', () => (tries += 1));
    await redis.connect().catch(() => undefined);
    await eventually(() => tries > 2, { what: sentence });
    expect(warnings).toEqual([sentence]);
    expect(redis.health().state).toBe('down');
    redis.close();
  }
}, 60_000);

test('one sentinel that is left suffices', async () => {
  const { config } = sentinels;
  if (config.sentinel === undefined) throw new Error('no sentinel');
  const warnings: string[] = [];
  const nodes = ['127.0.0.1:1', config.sentinel.nodes[2] ?? ''];
  const redis = new RedisConnection({ ...config, sentinel: { ...config.sentinel, nodes } }, (warning) =>
    warnings.push(warning),
  );
  await redis.connect();
  expect(await redis.commands.set('written', 'to the master')).toBe('OK');
  expect(warnings).toEqual([]);
  redis.close();
});
