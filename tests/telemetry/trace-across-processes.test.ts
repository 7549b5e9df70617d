// One trace, from a gRPC publish to a receiver that reports it, over two processes and a retry.
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EventService, PublishEventRequestSchema } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { createWebhook } from '../fixtures/scenario.ts';
import { startCollector, type Collector } from './collector.ts';

let database: TestDatabase;
let redis: TestRedis;
let receiver: Receiver;
let collector: Collector;
let api: ServiceProcess;
let worker: ServiceProcess;

beforeAll(async () => {
  [database, redis, receiver, collector] = await Promise.all([
    createTestDatabase(),
    createTestRedis(),
    startReceiver(),
    startCollector(),
  ]);
  const env = {
    ...envOf(database.config, redis.config),
    ENVIRONMENT: 'test',
    // Both read the same secrets; in development each would make its own.
    WEBHOOK_SECRET_KEYS: `k1:${Buffer.from('0123456789abcdefghijklmnopqrstuv').toString('base64')}`,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    WEBHOOK_RETRY_DELAY: '0.2',
  };
  [api, worker] = await Promise.all([startProcess({ ...env, ROLE: 'api' }), startProcess({ ...env, ROLE: 'worker' })]);
});

afterAll(async () => {
  await Promise.all([api?.stop(), worker?.stop()]);
  await Promise.all([collector?.close(), receiver?.close(), redis?.close()]);
  await database?.drop();
});

test('a publisher’s trace reaches the receiver, through the commit, the other process and a retry', async () => {
  await createWebhook(await api.as('user123'), receiver.url('/traced'));
  receiver.script('/traced', 500, 200);

  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
  const client = createClient(EventService, createGrpcTransport({ baseUrl: `http://${api.grpc}` }));
  const request = create(PublishEventRequestSchema, {
    eventType: 'order.created',
    payload: { case: 'data', value: { order_id: 'o1' } },
    audience: { userIds: ['user123'] },
  });
  await client.publishEvent(request, {
    headers: {
      authorization: `Bearer ${await api.token('orders', 'service')}`,
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
    },
  });
  const [first, second] = await receiver.waitFor((requests) => requests.length >= 2 && requests);

  const spansOf = (name: string) => collector.spans.filter((span) => span.traceId === traceId && span.name.includes(name));
  await eventually(
    () => spansOf('attempt').length === 2 && spansOf('commit').length === 1 && spansOf('PublishEvent').length === 1,
    {
      what: 'the spans of the call, the commit and both attempts',
    },
  );
  const [publish] = spansOf('PublishEvent');
  const [commit] = spansOf('commit');
  expect(publish).toMatchObject({ role: 'api', parentSpanId: '00f067aa0ba902b7' });
  expect(commit).toMatchObject({ role: 'api', parentSpanId: publish?.spanId });
  const attempts = spansOf('attempt');
  for (const attempt of attempts) expect(attempt).toMatchObject({ role: 'worker', parentSpanId: publish?.spanId });
  expect(attempts.map((attempt) => attempt.status?.message)).toEqual(['http_status', undefined]);
  // The receiver gets the span of the very attempt that reached it, so what it records itself hangs below that.
  expect([first?.headers['traceparent'], second?.headers['traceparent']]).toEqual(
    attempts.map((attempt) => `00-${traceId}-${attempt.spanId}-01`),
  );

  const linesOf = (service: ServiceProcess, message: string) =>
    service.lines
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((line) => line['message'] === message && line['trace_id'] === traceId);
  expect(linesOf(api, 'request')).toHaveLength(1);
  await eventually(() => linesOf(worker, 'attempt').length === 2, { what: 'a log line for each attempt' });
  expect(linesOf(worker, 'attempt').map((line) => line['outcome'])).toEqual(['retrying', 'delivered']);
});
