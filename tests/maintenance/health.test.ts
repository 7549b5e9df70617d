// Whether a process says that it is ready while PostgreSQL takes no writes.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { administer } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

let service: TestApp;
beforeAll(async () => {
  service = await startApp();
});
afterAll(() => service.close());

const readiness = async (): Promise<any> => {
  const response = await fetch(`${service.http}/readyz`);
  return { code: response.status, ...((await response.json()) as object) };
};

test('a process whose PostgreSQL is read-only is not ready, says why, and is ready again by itself', async () => {
  const { config } = service.database;
  const server = { ...config, name: 'postgres' };
  const publisher = await service.as('orders', 'service');
  const publish = async (): Promise<number> =>
    (await publisher('POST', '/api/v1/events', { event_type: 'order.created', data: {}, audience: { user_ids: ['nobody'] } }))
      .status;
  expect(await publish()).toBe(202);

  await administer(server, `alter database ${config.name} set default_transaction_read_only = on`);
  await administer(server, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${config.name}'`);
  await eventually(async () => (await readiness()).database === 'read_only', { what: 'a database that is read-only' });
  expect(await readiness()).toMatchObject({ code: 503, status: 'not_ready' });
  expect(await publish()).toBe(503);
  const reader = await service.as('alice');
  expect((await reader('GET', '/api/v1/webhooks')).status).toBe(200);
  const admin = await service.as('root', 'admin');
  expect(await admin('GET', '/health')).toMatchObject({
    status: 503,
    body: { status: 'down', checks: { database: 'read_only' } },
  });

  await administer(server, `alter database ${config.name} reset default_transaction_read_only`);
  await eventually(async () => (await readiness()).code === 200, { what: 'readiness' });
  for (let times = 0; times < 20; times += 1) expect(await publish()).toBe(202);
  const webhook = { url: 'http://127.0.0.1:9/', events: ['order.created'] };
  expect((await reader('POST', '/api/v1/webhooks', webhook)).status).toBe(201);
});
