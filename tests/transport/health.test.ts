// What probes and load balancers see.
import { Code } from '@connectrpc/connect';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Status } from '../../gen/grpc/health/v1/health_pb.ts';
import { connectClient, openListeners, rest } from './listeners.ts';
import type { Listeners } from './listeners.ts';

let listeners: Listeners;
beforeEach(async () => {
  listeners = await openListeners();
});
afterEach(() => listeners.close());

const get = (path: string, token: string | null = null) => rest(listeners, 'GET', path, { token });

test('readiness follows the view and names what is degraded', async () => {
  const problems = { redis: 'Redis does not serve the schedule; PostgreSQL does.' };
  listeners.world.report = { ready: true, checks: { database: 'ok', redis: 'degraded' }, problems };
  expect(await get('/readyz')).toMatchObject({
    status: 200,
    json: { status: 'ready', database: 'ok', redis: 'degraded', problems },
  });
  listeners.world.report = { ready: false, checks: { database: 'down', redis: 'ok' }, problems: {} };
  expect(await get('/readyz')).toMatchObject({ status: 503, json: { status: 'not_ready', database: 'down' } });
  expect(await get('/livez')).toMatchObject({ status: 200, json: { status: 'ok' } });
});

test('only admins see what stands behind the service', async () => {
  const open = await get('/health');
  expect(open).toMatchObject({ status: 200, json: { status: 'ok', version: '1.0.0' } });
  expect(open.json).not.toHaveProperty('dependencies');
  expect((await get('/health', 'developer:user123')).json).not.toHaveProperty('checks');
  expect((await get('/health', 'nonsense')).status).toBe(200);
  expect((await get('/health', 'admin:root')).json).toMatchObject({ checks: { database: 'ok' }, dependencies: { user: 'ok' } });
});

test('gRPC health needs no token and knows its services', async () => {
  const client = connectClient(Health, listeners, 'grpc', null);
  expect((await client.check({})).status).toBe(Status.SERVING);
  expect((await client.check({ service: 'homechef.webhook.v1.EventService' })).status).toBe(Status.SERVING);
  listeners.world.report = { ready: false, checks: {}, problems: {} };
  expect((await client.check({})).status).toBe(Status.NOT_SERVING);
  await expect(client.check({ service: 'nothing' })).rejects.toMatchObject({ code: Code.NotFound });
});

test('a gRPC health watcher gets every change', async () => {
  const seen: Status[] = [];
  const controller = new AbortController();
  try {
    for await (const { status } of connectClient(Health, listeners, 'grpc', null).watch({}, { signal: controller.signal })) {
      seen.push(status);
      listeners.world.report = { ready: seen.length !== 1, checks: {}, problems: {} };
      if (seen.length === 3) controller.abort();
    }
  } catch {
    // Cancelled by ourselves.
  }
  expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING, Status.SERVING]);
});
