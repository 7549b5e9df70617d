// Watchers that do not read, behind every protocol: what waits for them is bounded, and no other caller notices.
import { connect as connectHttp2 } from 'node:http2';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { create, toBinary, toJsonString } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WatchDeliveriesRequestSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { createStatusBus } from '../../src/realtime/create-status-bus.ts';
import type { StatusBus } from '../../src/realtime/status-bus.ts';
import type { StatusUpdate } from '../../src/realtime/status-update.ts';
import { quietTelemetry } from '../../src/telemetry/telemetry.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { bearer, openSocket, told, watchStream } from '../realtime/watching.ts';

/** Far more than sockets and kernel hold: some 40 MB. */
const UPDATES = 30_000;
const BATCH = 200;
const PATH = '/homechef.webhook.v1.DeliveryService/WatchDeliveries';

let service: TestApp;
let redis: RedisConnection;
let bus: StatusBus;
let token: string;

beforeAll(async () => {
  const config = sharedTestRedis();
  service = await startApp({ redis: config });
  token = await service.token('user123');
  redis = new RedisConnection(config, () => {});
  await redis.connect();
  // Another process, as far as the service can see.
  bus = createStatusBus({ redis, keyPrefix: config.keyPrefix, telemetry: quietTelemetry() });
  await bus.start();
});
afterAll(async () => {
  await bus.drain();
  redis.close();
  await service.close();
});

test('their buffers stay within bounds, they are given up, and the others get everything', async () => {
  const reader = watchStream(service.grpc, token);
  const socket = openSocket(service.http, '', bearer(token));
  const sleeper = openSocket(service.http, '', bearer(token));
  await sleeper.refused;
  sleeper.socket.pause();
  const sleepingStreams = [await sleepOverGrpc(), await sleepOverHttp()];
  const admin = await service.as('root', 'admin');
  const status = async () => (await admin('GET', '/ws/status')).body;
  await eventually(async () => reader.messages.length > 0 && socket.messages.length > 0 && (await status()).watchers === 5);
  // The subscription of the service has to reach Redis first.
  await eventually(() => {
    bus.publish([update(0)]);
    return told(reader).length > 0;
  });
  const rssBefore = process.memoryUsage.rss();
  let maxBufferedBytes = 0;
  const startedAtMs = Date.now();
  for (let n = 1; n <= UPDATES; n += BATCH) {
    bus.publish(Array.from({ length: BATCH }, (_, index) => update(n + index)));
    await eventually(() => told(reader).length >= n + BATCH - 1 && socket.messages.length >= n + BATCH - 1);
    if (n % 2000 === 1) maxBufferedBytes = Math.max(maxBufferedBytes, (await status()).buffered_bytes);
  }
  const seconds = (Date.now() - startedAtMs) / 1000;
  const { buffered, dropped } = await status();
  expect(maxBufferedBytes).toBeGreaterThan(64 * 1024);
  expect(maxBufferedBytes).toBeLessThan(512 * 1024);
  // Three sleepers, each with its queue full.
  expect(buffered).toBeGreaterThan(0);
  expect(buffered).toBeLessThanOrEqual(3 * 500);
  expect(dropped).toBeGreaterThan(UPDATES);
  // This process holds both sides: what 30,000 kept messages of the readers take, and nothing like three times 40 MB beside it.
  expect(process.memoryUsage.rss() - rssBefore).toBeLessThan(400 * 1024 * 1024);
  expect(seconds).toBeLessThan(60);

  // The WebSocket is given up after twenty seconds; a client that wakes up just then gets the reason.
  await eventually(async () => (await status()).watchers === 4, { deadlineMs: 30_000, what: 'the sleeper to be given up' });
  sleeper.socket.resume();
  expect([1013, 1006]).toContain((await sleeper.closed).code);
  for (const close of sleepingStreams) close();
  reader.cancel();
  socket.socket.close();
  await eventually(async () => (await status()).watchers === 0);
}, 120_000);

function update(n: number): StatusUpdate {
  return {
    deliveryId: `delivery_${String(n).padStart(26, '0')}`,
    webhookId: 'webhook_00000000000000000000000001',
    userId: 'user123',
    eventId: 'event_00000000000000000000000001',
    eventType: 'order.created',
    status: 'failed',
    attemptCount: 1,
    httpStatus: 500,
    response: 'x'.repeat(1000),
    errorCode: 'http_status',
    errorMessage: 'x'.repeat(500),
    nextAttemptAtMs: null,
    deliveredAtMs: null,
    failedAtMs: Date.now(),
    createdAtMs: Date.now(),
    // Ahead of what PostgreSQL, which knows nothing of it, has confirmed.
    updatedAtMs: Date.now() + 600_000 + n / 1000,
  };
}

async function sleepOverGrpc(): Promise<() => void> {
  const session = connectHttp2(`http://${service.grpc}`);
  const stream = session.request({
    ':method': 'POST',
    ':path': PATH,
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  });
  const message = toBinary(WatchDeliveriesRequestSchema, create(WatchDeliveriesRequestSchema));
  stream.end(enveloped(Buffer.from(message)));
  await once(stream, 'response');
  stream.pause();
  return () => session.destroy();
}

async function sleepOverHttp(): Promise<() => void> {
  const headers = { 'content-type': 'application/connect+json', authorization: `Bearer ${token}` };
  const request = httpRequest(`${service.http}${PATH}`, { method: 'POST', headers });
  request.end(enveloped(Buffer.from(toJsonString(WatchDeliveriesRequestSchema, create(WatchDeliveriesRequestSchema)))));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.pause();
  return () => response.destroy();
}

/** A flag byte and the length, as gRPC and Connect frame a message of a stream. */
function enveloped(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
