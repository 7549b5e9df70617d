// How many calls a user may make, how many bad tokens an address may bring, and that neither limit stands in the way of publishing.
import { Code, ConnectError, createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { MAX_FAILURES } from '../../src/security/failed-tokens.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { bearer, openSocket } from '../realtime/watching.ts';
import { restClient, type RestAnswer } from '../fixtures/rest.ts';

const LIMIT = 30;
const PATIENCE_MS = 120_000;

let redis: TestRedis;
let database: TestDatabase;
/** Two processes of one service. */
let one: TestApp;
let two: TestApp;
beforeAll(async () => {
  [redis, database] = await Promise.all([createTestRedis(), createTestDatabase()]);
  const options = { env: { RATE_LIMIT_PER_MINUTE: String(LIMIT) }, redis: { ...redis.config, keyPrefix: 'mine:' }, database };
  one = await startApp(options);
  two = await startApp(options);
}, PATIENCE_MS);
afterAll(async () => {
  await Promise.all([one.close(), two.close()]);
  await redis.close();
  await database.drop();
});

async function calls(service: TestApp, token: string, count: number): Promise<RestAnswer[]> {
  const rest = restClient(service.http, token);
  const answers: RestAnswer[] = [];
  for (let index = 0; index < count; index += 1) answers.push(await rest('GET', '/api/v1/webhooks'));
  return answers;
}

const refused = (answers: readonly RestAnswer[]) => answers.filter(({ status }) => status === 429);
const allowed = (answers: readonly RestAnswer[]) => answers.filter(({ status }) => status === 200);

test(
  'a user’s calls are limited over all processes, and every protocol refuses alike',
  async () => {
    const token = await one.token('eager');
    const answers = [...(await calls(one, token, LIMIT)), ...(await calls(two, token, LIMIT))];
    // A minute may end in between; then the next one has its own.
    expect(allowed(answers).length).toBeGreaterThanOrEqual(LIMIT - 1);
    expect(allowed(answers).length).toBeLessThan(2 * LIMIT);
    const { body, headers } = refused(answers)[0] ?? { body: null, headers: new Headers() };
    expect(body.error).toMatchObject({ code: 'resource_exhausted', reason: 'rate_limited' });
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60);
    // Both say how many calls there are a minute, how many are left, and when there are more.
    const left = /^"calls";r=(\d+);t=(\d+)$/;
    const [some] = allowed(answers);
    for (const told of [headers, some?.headers]) expect(told?.get('ratelimit-policy')).toBe(`"calls";q=${LIMIT};w=60`);
    expect(left.exec(headers.get('ratelimit') ?? '')?.[1]).toBe('0');
    expect(Number(left.exec(some?.headers.get('ratelimit') ?? '')?.[1])).toBeLessThan(LIMIT);

    const authorize: Interceptor = (next) => (call) => {
      call.header.set('authorization', `Bearer ${token}`);
      return next(call);
    };
    const options = { baseUrl: two.http, httpVersion: '1.1' as const, interceptors: [authorize] };
    const transports: Transport[] = [
      createConnectTransport(options),
      createGrpcWebTransport(options),
      createGrpcTransport({ baseUrl: `http://${two.grpc}`, interceptors: [authorize] }),
    ];
    for (const transport of transports) {
      const error: unknown = await eventually(
        () =>
          createClient(WebhookService, transport)
            .listWebhooks({})
            .then(
              () => null,
              (thrown: unknown) => thrown,
            ),
        { what: 'a refusal', intervalMs: 1 },
      );
      const told = ConnectError.from(error);
      expect([told.code, told.findDetails(ErrorInfoSchema)[0]?.reason]).toEqual([Code.ResourceExhausted, 'rate_limited']);
      const delay = told.findDetails(RetryInfoSchema)[0]?.retryDelay;
      expect(Number(delay?.seconds ?? 0) + (delay?.nanos ?? 0) / 1e9).toBeGreaterThan(0);
    }
    // One user's calls are no other's.
    expect(allowed(await calls(one, await one.token('patient'), 5))).toHaveLength(5);
  },
  PATIENCE_MS,
);

test(
  'services and operators are not counted',
  async () => {
    for (const role of ['service', 'admin'] as const) {
      const rest = await one.as(`some-${role}`, role);
      const event = { event_type: 'order.created', data: {}, audience: { user_ids: ['nobody'] } };
      for (let index = 0; index < 2 * LIMIT; index += 1) expect((await rest('POST', '/api/v1/events', event)).status).toBe(202);
    }
  },
  PATIENCE_MS,
);

test('the counts lie under the key prefix of the service', async () => {
  await calls(one, await one.token('counted'), 1);
  const client = new Redis({ host: redis.config.host, port: redis.config.port });
  const keys = await client.keys('*');
  client.disconnect();
  expect(keys).toContain('mine:wh-rate:counted');
  expect(keys.filter((key) => !/^(\{)?mine:/.test(key))).toEqual([]);
});

test(
  'without Redis publishing goes on, and each process counts for itself',
  async () => {
    redis.stop();
    try {
      const token = await one.token('stubborn');
      const answers = await calls(one, token, 2 * LIMIT);
      expect(allowed(answers).length).toBeGreaterThanOrEqual(LIMIT);
      expect(refused(answers).length).toBeGreaterThan(0);
      const rest = await one.as('orders', 'service');
      const event = { event_type: 'order.created', data: {}, audience: { user_ids: ['nobody'] } };
      expect((await rest('POST', '/api/v1/events', event)).status).toBe(202);
    } finally {
      redis.cont();
    }
  },
  PATIENCE_MS,
);

test(
  'an address with too many bad tokens keeps no good one of its callers out, whatever store is away',
  async () => {
    const newcomer = await two.token('newcomer', 'service');
    redis.stop();
    try {
      const guess = restClient(two.http, 'a.bad.token');
      for (let index = 0; index <= MAX_FAILURES; index += 1) expect((await guess('GET', '/api/v1/webhooks')).status).toBe(401);
      expect((await restClient(two.http, newcomer)('GET', '/api/v1/webhooks')).status).toBe(200);
    } finally {
      redis.cont();
    }
  },
  PATIENCE_MS,
);

test(
  'connects, subscriptions and looks at the status of a WebSocket are calls like any other',
  async () => {
    const token = await one.token('watcher');
    const first = openSocket(one.http, '', bearer(token));
    expect(await first.refused).toBeUndefined();
    const status = restClient(one.http, token);
    const answers: RestAnswer[] = [];
    for (let index = 0; index < 2 * LIMIT; index += 1) answers.push(await status('GET', '/ws/status'));
    expect(allowed(answers).length).toBeLessThan(2 * LIMIT);
    expect(await eventually(() => openSocket(one.http, '', bearer(token)).refused, { what: 'a refusal' })).toBe(429);
    const isRefused = async (): Promise<boolean> => {
      first.send({ type: 'subscribe' });
      await new Promise((resolve) => setTimeout(resolve, 300));
      return first.messages.some((message) => message.type === 'error' && message.error?.reason === 'rate_limited');
    };
    expect(await eventually(isRefused, { what: 'a refused subscription' })).toBe(true);
    first.socket.terminate();
  },
  PATIENCE_MS,
);
