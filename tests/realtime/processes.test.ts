// The live feed across processes: an update reaches a watcher elsewhere, and a watcher whose process was killed goes on elsewhere.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { pause } from '../../src/lifecycle/pause.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { createWebhook, publish as publishEvent } from '../fixtures/scenario.ts';
import { bearer, openSocket, told, watchStream, type Socket, type Stream } from './watching.ts';

const USER = 'user123';

describe.each([
  { between: 'Redis', redis: sharedTestRedis, withinMs: 1000 },
  { between: 'PostgreSQL alone', redis: () => null, withinMs: 5000 },
])('with $between between them', ({ redis, withinMs }) => {
  let database: TestDatabase;
  let receiver: Receiver;
  let one: ServiceProcess;
  let two: ServiceProcess;
  let developerToken: string;

  beforeEach(async () => {
    [database, receiver] = await Promise.all([createTestDatabase(), startReceiver()]);
    const env = {
      ...envOf(database.config, redis()),
      ENVIRONMENT: 'test',
      LOG_LEVEL: 'warn',
      WEBHOOK_TIMEOUT: '2',
      WEBHOOK_LEASE: '5',
      WEBHOOK_RECONCILE_INTERVAL: '2',
      WEBHOOK_SECRET_KEYS: `k1:${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`,
    };
    one = await startProcess({ ...env, ROLE: 'all' });
    // Watchers only: whatever happens, happens elsewhere.
    two = await startProcess({ ...env, ROLE: 'api' });
    developerToken = await one.token(USER);
  }, 90_000);
  afterEach(async () => {
    await Promise.all([one.kill(), two.kill()]);
    await receiver.close();
    await database.drop();
  });

  const webhookAt = async (service: ServiceProcess, path: string): Promise<any> =>
    createWebhook(await service.as(USER), receiver.url(path), { retry_policy: { max_retries: 3, retry_delay: 1 } });

  async function publisherOn(service: ServiceProcess) {
    const publisher = await service.as('orders', 'service');
    return () => publishEvent(publisher, [USER]);
  }

  test('an update reaches a watcher on another process', async () => {
    await webhookAt(one, '/ok');
    const publish = await publisherOn(one);
    const stream = watchStream(two.grpc, developerToken);
    const socket = openSocket(two.http, '', bearer(developerToken));
    await eventually(() => stream.messages.length > 0 && socket.messages.length > 0);
    for (let n = 1; n <= 5; n += 1) {
      await publish();
      await receiver.waitFor((requests) => requests.length >= n);
      const deliveredAt = performance.now();
      await eventually(() => told(stream).length === n && socket.messages.filter(({ data }) => data).length === n);
      expect(performance.now() - deliveredAt).toBeLessThan(withinMs);
    }
    stream.cancel();
    socket.socket.close();
  });

  test('after kill -9 of a watcher’s process it resumes elsewhere: every last state, none twice by cursor', async () => {
    receiver.script('/mixed', 200, 500, 200, 200, 500, 500, 200);
    await webhookAt(one, '/mixed');
    const publish = await publisherOn(one);
    const stream = watchStream(two.http, developerToken);
    const socket = openSocket(two.http, '', bearer(developerToken));
    await eventually(() => stream.messages.length > 0 && socket.messages.length > 0);
    const publishing = (async () => {
      for (let n = 0; n < 150; n += 1) {
        await publish();
        await pause(10);
      }
    })();
    await eventually(() => told(stream).length > 20 && socket.messages.length > 20);
    await two.kill();
    await stream.ended;
    expect((await socket.closed).code).toBe(1006);
    await pause(300);
    const resumedStream = watchStream(one.grpc, developerToken, { after: stream.messages.at(-1)?.cursor ?? '' });
    const resumedSocket = openSocket(one.http, `?after=${socket.messages.at(-1).cursor}`, bearer(developerToken));
    await publishing;
    const states = async (): Promise<string[]> => {
      const { rows } = await database.pool.query<{ id: string; status: string }>('select id, status from deliveries');
      return rows.map(({ id, status }) => `${id}:${status}`).toSorted();
    };
    await eventually(async () => (await states()).every((text) => text.endsWith(':delivered')), { deadlineMs: 30_000 });
    const expected = await states();
    expect(expected).toHaveLength(150);
    const seenByStream = () => lastStates([...ofStream(stream), ...ofStream(resumedStream)]);
    const seenBySocket = () => lastStates([...ofSocket(socket), ...ofSocket(resumedSocket)]);
    await eventually(() => seenByStream().length === 150 && seenByStream().every((text) => text.endsWith(':delivered')));
    await eventually(() => seenBySocket().length === 150 && seenBySocket().every((text) => text.endsWith(':delivered')));
    expect(seenByStream()).toEqual(expected);
    expect(seenBySocket()).toEqual(expected);
    resumedStream.cancel();
    resumedSocket.socket.close();
  }, 60_000);
});

interface Seen {
  readonly cursor: string;
  readonly id: string;
  readonly status: string;
}

function ofStream(stream: Stream): Seen[] {
  return stream.messages.flatMap(({ cursor, message }) =>
    message.case === 'delivery'
      ? [{ cursor, id: message.value.id, status: message.value.status === DeliveryStatus.DELIVERED ? 'delivered' : 'other' }]
      : [],
  );
}

function ofSocket(socket: Socket): Seen[] {
  return socket.messages.flatMap(({ cursor, data }) =>
    data === undefined ? [] : [{ cursor, id: data.delivery_id, status: data.status }],
  );
}

/** What a client has after dropping what it has seen: one change a cursor, and of each delivery the latest. A last state comes once. */
function lastStates(seen: readonly Seen[]): string[] {
  const byCursor = new Map(seen.map((one) => [one.cursor, one]));
  const delivered = [...byCursor.values()].filter(({ status }) => status === 'delivered').map(({ id }) => id);
  expect(new Set(delivered).size).toBe(delivered.length);
  const latest = new Map<string, string>();
  for (const one of [...byCursor.values()].toSorted((a, b) => (a.cursor < b.cursor ? -1 : 1))) latest.set(one.id, one.status);
  return [...latest].map(([id, status]) => `${id}:${status}`).toSorted();
}
