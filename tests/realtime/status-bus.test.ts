// The status bus over Redis, single and clustered: fast when it works, harmless when it does not, silent without a listener.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RedisConfig } from '../../src/config.ts';
import { pause } from '../../src/lifecycle/pause.ts';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { createStatusBus } from '../../src/realtime/create-status-bus.ts';
import type { OwnerNotice, StatusBus } from '../../src/realtime/status-bus.ts';
import type { StatusUpdate } from '../../src/realtime/status-update.ts';
import { quietTelemetry } from '../../src/telemetry/telemetry.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestCluster } from '../fixtures/redis-cluster.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';

const telemetry = quietTelemetry();

function update(n: number, response: string | null = null): StatusUpdate {
  const id = String(n).padStart(26, '0');
  return {
    deliveryId: `delivery_${id}`,
    webhookId: 'webhook_1',
    userId: 'user123',
    eventId: 'event_1',
    eventType: 'order.created',
    status: 'delivered',
    attemptCount: 1,
    httpStatus: 200,
    response,
    errorCode: null,
    errorMessage: null,
    nextAttemptAtMs: null,
    deliveredAtMs: 1_763_900_000_000,
    failedAtMs: null,
    createdAtMs: 1_763_900_000_000,
    updatedAtMs: 1_763_900_000_000.001 + n,
  };
}

interface Process {
  readonly bus: StatusBus;
  readonly redis: RedisConnection;
}

let processes: Process[] = [];

async function startProcess(config: RedisConfig): Promise<Process> {
  const redis = new RedisConnection(config, () => {});
  await redis.connect();
  const bus = createStatusBus({ redis, keyPrefix: 'test:', telemetry });
  await bus.start();
  processes.push({ bus, redis });
  return { bus, redis };
}

afterEach(async () => {
  for (const { bus, redis } of processes) {
    await bus.drain();
    redis.close();
  }
  processes = [];
});

describe.each([
  { kind: 'one Redis', create: createTestRedis },
  { kind: 'a cluster', create: createTestCluster },
])('over $kind', ({ create }) => {
  let server: { config: RedisConfig; close(): Promise<void> };
  beforeAll(async () => {
    server = await create();
  });
  afterAll(() => server.close());

  test('what one process publishes reaches the others, in batches and in order, with long answers cut', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => startProcess(server.config)));
    const heard: StatusUpdate[] = [];
    const heardHere: StatusUpdate[] = [];
    two?.bus.subscribe((updates) => heard.push(...updates));
    one?.bus.subscribe((updates) => heardHere.push(...updates));
    // Until the subscription has reached the server, no process is sent anything.
    await eventually(() => {
      one?.bus.publish([update(0)]);
      return heard.length > 0;
    });
    const sent = Array.from({ length: 1000 }, (_, n) => update(n + 1, 'x'.repeat(n === 0 ? 16_000 : 10)));
    for (let n = 0; n < 1000; n += 100) one?.bus.publish(sent.slice(n, n + 100));
    const ofThese = (updates: StatusUpdate[]): StatusUpdate[] =>
      updates.filter(({ deliveryId }) => deliveryId !== update(0).deliveryId);
    await eventually(() => ofThese(heard).length >= 1000 && ofThese(heardHere).length >= 1000);
    const expected = sent.map((item, n) => (n === 0 ? { ...item, response: 'x'.repeat(1024) } : item));
    expect(ofThese(heard)).toEqual(expected);
    expect(ofThese(heardHere)).toEqual(expected);
  });

  test('a first watcher of its own does not keep a process from sending to the others', async () => {
    const [one, two] = await Promise.all([startProcess(server.config), startProcess(server.config)]);
    const heard: StatusUpdate[] = [];
    two.bus.subscribe((updates) => heard.push(...updates));
    await eventually(() => {
      one.bus.publish([update(0)]);
      return heard.length > 0;
    });
    // Redis counts the new listener later than the process knows of it: its count is of the other alone. Seen to fail on a cluster,
    // where subscribing takes longer than publishing; on one Redis the two follow too close upon each other.
    one.bus.subscribe(() => undefined);
    one.bus.publish([update(1)]);
    await eventually(() => heard.some(({ deliveryId }) => deliveryId === update(1).deliveryId));
    one.bus.publish([update(2)]);
    await eventually(() => heard.some(({ deliveryId }) => deliveryId === update(2).deliveryId), { deadlineMs: 2000 });
  });

  test('a changed webhook and a notice reach every process, once', async () => {
    const started = await Promise.all([1, 2, 3].map(() => startProcess(server.config)));
    const changed = started.map(({ bus }) => {
      const ids: string[] = [];
      bus.onWebhookChanged((id) => ids.push(id));
      return ids;
    });
    const notices = started.map(({ bus }) => {
      const got: OwnerNotice[] = [];
      bus.onNotice((notice) => got.push(notice));
      return got;
    });
    await eventually(() => {
      started[0]?.bus.announceWebhook('webhook_first');
      return changed.every((ids) => ids.length > 0);
    });
    const notice = {
      type: 'webhook_disabled',
      userId: 'user123',
      webhookId: 'webhook_9',
      reason: 'gone',
      atMs: 1,
    } as const;
    started[1]?.bus.notify(notice);
    started[1]?.bus.announceWebhook('webhook_9');
    await eventually(() => changed.every((ids) => ids.includes('webhook_9')) && notices.every((got) => got.length > 0));
    expect(changed.map((ids) => ids.filter((id) => id === 'webhook_9'))).toEqual([['webhook_9'], ['webhook_9'], ['webhook_9']]);
    expect(notices).toEqual([[notice], [notice], [notice]]);
  });
});

describe('with a Redis of its own', () => {
  let server: TestRedis;
  beforeEach(async () => {
    server = await createTestRedis();
  });
  afterEach(() => server.close());

  test('sends nothing without a listener, and starts again with the first', async () => {
    const { bus, redis } = await startProcess(server.config);
    const published = async (): Promise<number> => {
      const stats = await redis.commands.info('commandstats');
      return Number(/cmdstat_publish:calls=(\d+)/.exec(stats)?.[1] ?? 0);
    };
    // With each connection it is tried whether publishing is allowed.
    const before = await eventually(async () => (await published()) || undefined);
    for (let n = 0; n < 50; n += 1) {
      bus.publish([update(n)]);
      await pause(5);
    }
    // One that found no listener.
    expect(await published()).toBe(before + 1);
    const other = await startProcess(server.config);
    const heard: StatusUpdate[] = [];
    const startedAt = performance.now();
    other.bus.subscribe((updates) => heard.push(...updates));
    await eventually(() => {
      bus.publish([update(1000)]);
      return heard.length > 0;
    });
    // Without that message it would have kept silent for a second.
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  test('a subscription that Redis was too slow to take is asked for again', async () => {
    const warnings: string[] = [];
    const redis = new RedisConnection(server.config, (message) => warnings.push(message));
    try {
      await redis.connect();
      server.stop();
      let counted = 0;
      const stopListening = redis.listen('test:slow', { onMessage() {}, onCounted: () => (counted += 1) });
      await eventually(() => warnings.length > 0);
      server.cont();
      await eventually(() => counted > 0);
      expect(await redis.broadcast('test:slow', 'x')).toBe(1);
      stopListening();
      await eventually(async () => (await redis.broadcast('test:slow', 'x')) === 0);
    } finally {
      server.cont();
      redis.close();
    }
  });

  test('a stopped or dead Redis neither throws nor holds anything up, and is used again when it is back', async () => {
    const [one, two] = await Promise.all([startProcess(server.config), startProcess(server.config)]);
    const heard: StatusUpdate[] = [];
    two.bus.subscribe((updates) => heard.push(...updates));
    const publishUntilHeard = () =>
      eventually(() => {
        one.bus.publish([update(heard.length)]);
        one.bus.announceWebhook('webhook_1');
        return heard.length > 0;
      });
    await publishUntilHeard();
    server.stop();
    const startedAt = performance.now();
    for (let n = 0; n < 20_000; n += 1) one.bus.publish([update(n)]);
    expect(performance.now() - startedAt).toBeLessThan(500);
    server.cont();
    heard.length = 0;
    await publishUntilHeard();
    await server.kill();
    one.bus.publish([update(1)]);
    one.bus.announceWebhook('webhook_1');
    await server.restart();
    heard.length = 0;
    await publishUntilHeard();
  });
});
