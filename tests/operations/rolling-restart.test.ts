// Two API and two worker processes behind nginx, each restarted in turn under load.
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EventService, PublishEventRequestSchema } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { toConfig } from '../../src/config.ts';
import { pause } from '../../src/lifecycle/pause.ts';
import { mintToken } from '../../src/security/tokens.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { restClient } from '../fixtures/rest.ts';
import { findNginx, startNginx, type LoadBalancer } from './nginx.ts';

/** Half of it over REST, half over gRPC. */
const PUBLISHES_PER_SECOND = 50;
const GRACE_SECONDS = 10;

const nginx = findNginx();
let database: TestDatabase;
let redis: TestRedis;
let receiver: Receiver;
let balancer: LoadBalancer;
const processes: { start: () => Promise<ServiceProcess>; running: ServiceProcess }[] = [];

beforeAll(async () => {
  if (nginx === null) return;
  [database, redis, receiver] = await Promise.all([createTestDatabase(), createTestRedis(), startReceiver()]);
  const shared = {
    ...envOf(database.config, redis.config),
    ENVIRONMENT: 'test',
    LOG_LEVEL: 'warn',
    WEBHOOK_SECRET_KEYS: `k1:${Buffer.from('0123456789abcdefghijklmnopqrstuv').toString('base64')}`,
    WEBHOOK_SHUTDOWN_GRACE: String(GRACE_SECONDS),
    RATE_LIMIT_PER_MINUTE: '1000000',
  };
  const ports: { http: number[]; grpc: number[] } = { http: [], grpc: [] };
  for (const ROLE of ['api', 'api', 'worker', 'worker']) {
    const [http, grpc] = [await freePort(), await freePort()];
    if (ROLE === 'api') {
      ports.http.push(http);
      ports.grpc.push(grpc);
    }
    // The same ports again after a restart: the balancer's list of servers stays as it is.
    const start = () => startProcess({ ...shared, ROLE, SERVER_PORT: String(http), GRPC_PORT: String(grpc) });
    processes.push({ start, running: await start() });
  }
  balancer = await startNginx(nginx, ports);
}, 120_000);

afterAll(async () => {
  await balancer?.close();
  await Promise.all(processes.map(({ running }) => running.stop()));
  await receiver?.close();
  await redis?.close();
  await database?.drop();
}, 60_000);

// Without nginx there is nothing to stand behind; CI installs it.
test.skipIf(nginx === null)(
  'no publish fails, no delivery is lost and none is sent twice while all four processes are restarted',
  async () => {
    const { tokens } = toConfig({ ENVIRONMENT: 'test' });
    const developer = restClient(balancer.http, await mintToken(tokens, { user: 'user123', role: 'developer' }));
    expect(
      (await developer('POST', '/api/v1/webhooks', { url: receiver.url('/slow?ms=200'), events: ['order.created'] })).status,
    ).toBe(201);

    const token = await mintToken(tokens, { user: 'orders', role: 'service' });
    const rest = restClient(balancer.http, token);
    const grpc = createClient(EventService, createGrpcTransport({ baseUrl: `http://${balancer.grpc}` }));
    const events = new Map<string, string>();
    const failures: string[] = [];
    const publish = async (n: number): Promise<void> => {
      const key = `restart-${n}`;
      try {
        if (n % 2 === 0) {
          const body = { event_type: 'order.created', data: { n }, audience: { user_ids: ['user123'] }, idempotency_key: key };
          const answer = await rest('POST', '/api/v1/events', body);
          if (answer.status !== 202) throw new Error(`REST ${answer.status} ${JSON.stringify(answer.body)}`);
          events.set(key, (answer.body as { event_id: string }).event_id);
        } else {
          const request = create(PublishEventRequestSchema, {
            eventType: 'order.created',
            payload: { case: 'data', value: { n } },
            audience: { userIds: ['user123'] },
            idempotencyKey: key,
          });
          const answer = await grpc.publishEvent(request, { headers: { authorization: `Bearer ${token}` } });
          events.set(key, answer.eventId);
        }
      } catch (error) {
        failures.push(`${key}: ${String(error)}`);
      }
    };

    const stopping = new AbortController();
    const underWay: Promise<void>[] = [];
    const load = (async () => {
      for (let n = 0; !stopping.signal.aborted; n += 1) {
        underWay.push(publish(n));
        await pause(1000 / PUBLISHES_PER_SECOND, stopping.signal);
      }
    })();
    await receiver.waitFor((requests) => requests.length > 20);
    for (const one of processes) {
      const beforeStop = events.size;
      const startedAt = performance.now();
      expect(await one.running.stop()).toBe(0);
      expect(performance.now() - startedAt).toBeLessThan((GRACE_SECONDS + 1) * 1000);
      // The others carry on alone for a while.
      await eventually(() => events.size > beforeStop + 20, { what: 'publishes while one process is away' });
      one.running = await one.start();
      const beforeNext = events.size;
      await eventually(() => events.size > beforeNext + 20, { what: 'publishes once it is back' });
    }
    stopping.abort();
    await load;
    await Promise.all(underWay);

    expect(failures).toEqual([]);
    expect(events.size).toBe(underWay.length);
    const delivered = () =>
      receiver.requests.map((request) => (JSON.parse(request.body.toString()) as { data: { n: number } }).data.n);
    await eventually(() => new Set(delivered()).size === events.size, { what: 'every event delivered', deadlineMs: 60_000 });
    const counts = Map.groupBy(delivered(), (n) => n);
    expect([...counts].filter(([, times]) => times.length > 1).map(([n]) => n)).toEqual([]);
    const { rows } = await database.pool.query<{ events: string }>('select count(*) as events from events');
    expect(Number(rows[0]?.events)).toBe(events.size);
    console.log(`rolling restart: ${events.size} publishes over REST and gRPC, ${failures.length} failed; each delivered once`);
  },
  180_000,
);
