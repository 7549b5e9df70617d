// What a process says and does while PostgreSQL answers, and refuses statements for want of disk.
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { administer, createTestDatabase, openDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { RestAnswer } from '../fixtures/rest.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { smallFileSystem } from '../fixtures/small-file-system.ts';

vi.setConfig({ testTimeout: 90_000, hookTimeout: 90_000 });

/** Bytes of the small file system: a database with empty tables takes a third of it. */
const ROOM_BYTES = 64 * 1024 * 1024;
/** Larger than what the tables have left in their last pages. */
const LARGE_PAYLOAD = 'x'.repeat(200_000);

let database: TestDatabase;
let service: ServiceProcess;
let receiver: Receiver;

beforeEach(async () => {
  database = await createTestDatabase();
  receiver = await startReceiver();
});
afterEach(async () => {
  await service?.kill();
  await receiver.close();
  await database.drop();
});

async function start(more: Record<string, string> = {}): Promise<void> {
  service = await startProcess({ ...envOf(database.config, null), DATA_DIR: tmpdir(), ENVIRONMENT: 'test', ...more });
}

const readiness = async (): Promise<any> => {
  const response = await fetch(`${service.http}/readyz`);
  return { code: response.status, ...((await response.json()) as object) };
};

const shortageLines = () =>
  service.lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
    .filter(({ message }) => message.startsWith('PostgreSQL is short of'));

const gauge = async (name: string): Promise<string | undefined> =>
  new RegExp(`^${name} (\\S+)$`, 'm').exec(await (await fetch(service.metrics)).text())?.[1];

async function publishLarge(): Promise<RestAnswer> {
  const publisher = await service.as('orders', 'service');
  const event = { event_type: 'order.created', data: { text: LARGE_PAYLOAD }, audience: { user_ids: ['user123'] } };
  return publisher('POST', '/api/v1/events', event);
}

/** Refuses every change of these tables as the server itself would. */
async function refuseChanges(tables: readonly string[]): Promise<void> {
  await database.pool.query(
    `create or replace function short() returns trigger language plpgsql as $$
     begin raise exception 'seeded shortage' using errcode = '53100'; end $$`,
  );
  for (const table of tables)
    await database.pool.query(`create trigger short before insert or update on ${table} execute function short()`);
}

async function relieve(): Promise<void> {
  await database.pool.query('drop function short() cascade');
}

test('a PostgreSQL without room is degraded and named, once a second at most; nothing is lost, and all goes on by itself', async () => {
  await start({ WEBHOOK_TIMEOUT: '2', WEBHOOK_LEASE: '30' });
  const publisher = await service.as('orders', 'service');
  await createWebhook(await service.as('user123'), receiver.url('/hook'));
  await publish(publisher, ['user123']);
  await receiver.waitFor((requests) => requests.length === 1);
  expect(await readiness()).not.toHaveProperty('problems');

  // One is accepted, and its outcome cannot be written.
  receiver.script('/hook', { status: 200, delayMs: 500 });
  await publish(publisher, ['user123']);
  await receiver.waitFor((requests) => requests.length === 2);
  const shortSince = Date.now();
  await refuseChanges(['events', 'deliveries']);
  for (let times = 0; times < 50; times += 1) {
    const refused = await publisher('POST', '/api/v1/events', {
      event_type: 'order.created',
      data: {},
      audience: { user_ids: ['user123'] },
    });
    expect(refused).toMatchObject({
      status: 503,
      body: { error: { code: 'unavailable', reason: 'store_unavailable', message: expect.stringContaining('no room left') } },
    });
  }
  expect(await readiness()).toMatchObject({
    code: 200,
    database: 'degraded',
    problems: { database: expect.stringContaining('disk') },
  });
  expect(await gauge('database_up')).toBe('1');
  expect(await gauge('database_short')).toBe('1');
  // Two seconds of an outcome that is tried again four times a second.
  await eventually(() => Date.now() - shortSince > 2500, { what: 'two seconds of shortage' });
  const seconds = (Date.now() - shortSince) / 1000;
  expect(shortageLines().length).toBeGreaterThan(1);
  expect(shortageLines().length).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
  expect(shortageLines()[0]).toMatchObject({ level: 'error', resource: 'disk', err: { code: '53100' } });
  expect(receiver.requests).toHaveLength(2);

  await relieve();
  await publish(publisher, ['user123']);
  await receiver.waitFor((requests) => requests.length === 3);
  await eventually(
    async () => {
      const { rows } = await database.pool.query(`select status, count(*)::integer from deliveries group by status`);
      return rows.length === 1 && rows[0].status === 'delivered' && rows[0].count === 3;
    },
    { what: 'all deliveries delivered and recorded' },
  );
  await eventually(async () => (await readiness()).database === 'ok', { what: 'a database that is well', deadlineMs: 30_000 });
  expect(receiver.requests).toHaveLength(3);
  expect(await service.stop()).toBe(0);
});

const small = smallFileSystem(ROOM_BYTES);
describe.skipIf(small === null)('on a file system of 64 MB', () => {
  if (small === null) return;
  afterAll(() => small.remove());

  test('that is filled PostgreSQL is short of disk; once it has room again the same process takes what is published', async (context) => {
    const { config } = database;
    const { name } = config;
    const { rows } = await database.pool.query<{ data: string }>(`select current_setting('data_directory') as data`);
    if (!small.giveToOwnerOf(rows[0]?.data ?? '')) return context.skip('the server is on another machine');
    const server = { ...config, name: 'postgres' };
    await database.pool.end();
    await administer(server, `create tablespace ${name} location '${small.directory}'`);
    await administer(server, `alter database ${name} set tablespace ${name}`);
    database = openDatabase(config);
    await start();
    expect((await publishLarge()).status).toBe(202);

    small.fill();
    const refused = await eventually(
      async () => {
        const answer = await publishLarge();
        return answer.status !== 202 && answer;
      },
      { what: 'a publish that is refused' },
    );
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'unavailable', reason: 'store_unavailable' } } });
    expect(refused.body.error.message).toContain('no room left');
    expect(await readiness()).toMatchObject({
      code: 200,
      database: 'degraded',
      problems: { database: expect.stringContaining('disk') },
    });
    expect(shortageLines()[0]).toMatchObject({ resource: 'disk', err: { code: '53100' } });
    const developer = await service.as('user123');
    const webhook = { url: 'https://example.com/', events: ['order.created'], description: LARGE_PAYLOAD.slice(0, 400) };
    expect([201, 503]).toContain((await developer('POST', '/api/v1/webhooks', webhook)).status);

    small.free();
    expect((await publishLarge()).status).toBe(202);
    await eventually(async () => (await readiness()).database === 'ok', {
      what: 'a database that is well',
      deadlineMs: 30_000,
    });
    expect(await service.stop()).toBe(0);
    await database.drop();
    await administer(server, `drop tablespace ${name}`);
    database = await createTestDatabase();
  });
});
