// The process as its supervisor sees it: how it starts, what keeps it from starting, and how it stops.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { rawReceiver, socketReceiver, type RawReceiver } from '../outbound/raw-receiver.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, spawnProcess, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';

vi.setConfig({ testTimeout: 90_000 });

/** How long the receiver takes, so that a request is in flight while signals come. */
const ANSWER_MS = 1500;
/** How far apart npm and systemd let the same signal arrive. */
const ECHO_MS = 20;

const certificate = (name: string): string => fileURLToPath(new URL(`../delivery/certificates/${name}`, import.meta.url));
let database: TestDatabase;
let dataDir: string;
let env: Record<string, string>;
const running: ServiceProcess[] = [];
const receivers: RawReceiver[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  dataDir = await mkdtemp(join(tmpdir(), 'webhook-stop-'));
  env = { ...envOf(database.config, null), DATA_DIR: dataDir, WEBHOOK_SHUTDOWN_GRACE: '10', ENVIRONMENT: 'test' };
});
afterEach(async () => {
  for (const service of running.splice(0)) await service.kill();
  for (const receiver of receivers.splice(0)) await receiver.close();
});
afterAll(async () => {
  await database.drop();
  await rm(dataDir, { recursive: true, force: true });
});

async function start(more: Record<string, string> = {}): Promise<ServiceProcess> {
  const service = await startProcess({ ...env, ...more });
  running.push(service);
  return service;
}

/** A service with one request in flight, to a receiver that answers it after `answerMs`. */
async function withRequestInFlight(
  answerMs: number,
  more: Record<string, string> = {},
): Promise<{ service: ServiceProcess; receiver: RawReceiver }> {
  const receiver = await rawReceiver((socket) => {
    setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'), answerMs);
  });
  receivers.push(receiver);
  const service = await start(more);
  await publishOne(service, receiver);
  await eventually(() => receiver.requests.length > 0, { what: 'a request in flight' });
  return { service, receiver };
}

async function publishOne(service: ServiceProcess, receiver: RawReceiver): Promise<void> {
  await createWebhook(await service.as('user123'), receiver.url);
  await publish(await service.as('orders', 'service'), ['user123']);
}

describe('a signal', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s that comes twice within 20 ms is one: what is in flight is finished',
    async (name) => {
      const { service, receiver } = await withRequestInFlight(ANSWER_MS);
      service.signal(name);
      setTimeout(() => service.signal(name), ECHO_MS);
      expect(await service.exited).toBe(0);
      expect(receiver.requests).toHaveLength(1);
      const { rows } = await database.pool.query('select status from deliveries order by id desc limit 1');
      expect(rows).toEqual([{ status: 'delivered' }]);
      await database.pool.query('truncate webhook_endpoints, deliveries, events, attempts');
    },
  );

  test.each(['npm', 'make'] as const)(
    'that %s gets stops the service that it started: what is in flight is finished, and nothing stays behind',
    (starter) => stopsInGoodOrder(starter, (service) => service.signal('SIGTERM')),
  );

  test.each(['npm', 'make'] as const)(
    'that a terminal sends to the service and to %s, which passes it on, is one: what is in flight is finished',
    (starter) => stopsInGoodOrder(starter, (service) => service.signalGroup('SIGINT')),
  );

  async function stopsInGoodOrder(starter: string, stop: (service: ServiceProcess) => void): Promise<void> {
    const { service, receiver } = await withRequestInFlight(ANSWER_MS, { WITH: starter });
    stop(service);
    await service.exited;
    await eventually(() => service.lines.some((line) => line.includes('"stopped"')), { what: 'the line of the stop' });
    expect(service.lines.filter((line) => /"(stopping|stopped)"/.test(line))).toHaveLength(2);
    expect(receiver.requests).toHaveLength(1);
    await expect(fetch(`${service.http}/livez`)).rejects.toThrow('fetch failed');
    const { rows } = await database.pool.query('select status from deliveries order by id desc limit 1');
    expect(rows).toEqual([{ status: 'delivered' }]);
    await database.pool.query('truncate webhook_endpoints, deliveries, events, attempts');
  }

  test('that comes while the service is being built ends it in good order, with nothing to finish', async () => {
    const lock = await database.pool.connect();
    try {
      // The start waits for the lock of migrations.
      await lock.query('select pg_advisory_lock(7241963001)');
      const service = await spawnProcess(env);
      running.push(service);
      await eventually(
        async () =>
          (await database.pool.query(`select 1 from pg_locks where locktype = 'advisory' and not granted`)).rowCount === 1,
        { what: 'a start that waits' },
      );
      service.signal('SIGTERM');
      expect(await service.exited).toBe(0);
      expect(service.lines).toEqual([]);
    } finally {
      lock.release(true);
    }
  });

  test('that comes again after more than two seconds ends the process at once, and is logged', async () => {
    const { service } = await withRequestInFlight(60_000);
    service.signal('SIGTERM');
    setTimeout(() => service.signal('SIGTERM'), 2500);
    expect(await service.exited).toBe(1);
    expect(service.lines.at(-1)).toContain('a second signal came');
    await database.pool.query('truncate webhook_endpoints, deliveries, events, attempts');
  });
});

describe('a start', () => {
  const good = { TLS_CERT_FILE: certificate('good.pem'), TLS_KEY_FILE: certificate('server.key') };
  test.each<[string, Record<string, string>]>([
    ['WEBHOOK_TIMEOUT must be seconds', { WEBHOOK_TIMEOUT: 'soon' }],
    ['REDIS_CLUSTER_NODES must be host:port pairs', { REDIS_CLUSTER_NODES: 'redis-a:' }],
    ['TLS_CLIENT_CA_FILE needs TLS_CERT_FILE', { TLS_CLIENT_CA_FILE: certificate('ca.pem') }],
    ['TLS_CERT_FILE cannot be read', { ...good, TLS_CERT_FILE: '/nowhere/cert.pem' }],
    ['TLS_CERT_FILE and TLS_KEY_FILE are not a certificate with its key', { ...good, TLS_KEY_FILE: certificate('ca.pem') }],
    ['TLS_CLIENT_CA_FILE cannot be read', { ...good, TLS_CLIENT_CA_FILE: '/nowhere/ca.pem' }],
    ['PostgreSQL at 127.0.0.1:9 cannot be used', { DB_HOST: '127.0.0.1', DB_PORT: '9' }],
  ])('that fails with "%s" is told in one line, without a stack', async (line, more) => {
    const service = await spawnProcess({ ...env, ...more });
    running.push(service);
    expect(await service.exited).toBe(1);
    const told = service.lines.filter((text) => !text.startsWith('{'));
    expect(told).toEqual([expect.stringContaining(`Not started: ${line}`)]);
  });

  test.each(['SERVER_PORT', 'GRPC_PORT', 'METRICS_PORT'])(
    'whose %s is taken leases nothing and sends nothing',
    async (variable) => {
      const receiver = await rawReceiver((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
      const holder = await socketReceiver(() => {});
      receivers.push(receiver, holder);
      const api = await start({ ROLE: 'api' });
      await publishOne(api, receiver);
      const service = await spawnProcess({ ...env, [variable]: String(holder.port) });
      running.push(service);
      expect(await service.exited).toBe(1);
      expect(service.lines.filter((line) => !line.startsWith('{'))).toEqual([
        expect.stringMatching(new RegExp(`^Not started: .*EADDRINUSE.*${holder.port}`)),
      ]);
      const { rows } = await database.pool.query('select status, leased_until, attempt_count from deliveries');
      expect(rows).toEqual([{ status: 'pending', leased_until: null, attempt_count: 0 }]);
      expect(receiver.requests).toHaveLength(0);
      await database.pool.query('truncate webhook_endpoints, deliveries, events, attempts');
    },
  );

  test('and its stop are one line each: what listens where, that it stops, and that it has stopped', async () => {
    const service = await start();
    expect(await service.stop()).toBe(0);
    const lines = service.lines
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      lines.map(({ message }) => message).filter((message) => /^(listening|stopping|stopped)$/.test(String(message))),
    ).toEqual(['listening', 'stopping', 'stopped']);
    expect(lines.find(({ message }) => message === 'listening')).toMatchObject({
      http: service.http,
      grpc: service.grpc,
      metrics: service.metrics.replace('/metrics', ''),
      role: 'all',
      environment: 'test',
      version: expect.stringMatching(/^\d/),
      database: `${database.config.host}:${database.config.port}/${database.config.name}`,
      redis: null,
    });
    // A normal start has nothing to warn of.
    expect(lines.filter(({ level }) => level !== 'info')).toEqual([]);
  });
});
