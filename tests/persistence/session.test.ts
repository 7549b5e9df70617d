// A database as it is found: whatever was set for the role or the database before, the service works, or says in one sentence what
// keeps it from starting.
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { ConfigError, type DatabaseConfig } from '../../src/config.ts';
import { prepareDatabase } from '../../src/persistence/prepare-database.ts';
import { startApp } from '../fixtures/app.ts';
import { administer, openDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver } from '../fixtures/receiver.ts';
import { told, watchStream } from '../realtime/watching.ts';

/** What an operator may have set for other programs, each at its most inconvenient. */
const hostile: Readonly<Record<string, string>> = {
  array_nulls: 'off',
  bytea_output: 'escape',
  client_encoding: 'LATIN1',
  client_min_messages: 'debug1',
  DateStyle: 'German, DMY',
  default_transaction_deferrable: 'on',
  default_transaction_isolation: 'serializable',
  enable_indexscan: 'off',
  enable_nestloop: 'off',
  exit_on_error: 'on',
  extra_float_digits: '-15',
  gin_fuzzy_search_limit: '1',
  idle_in_transaction_session_timeout: '1ms',
  idle_session_timeout: '50ms',
  IntervalStyle: 'sql_standard',
  jit: 'on',
  lock_timeout: '1ms',
  plan_cache_mode: 'force_custom_plan',
  row_security: 'off',
  search_path: 'elsewhere',
  standard_conforming_strings: 'off',
  statement_timeout: '1ms',
  TimeZone: 'Pacific/Kiritimati',
  transform_null_equals: 'on',
};

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

/** A role that owns an empty database and may do nothing else. */
async function createOwned(options = ''): Promise<{ database: DatabaseConfig; role: string }> {
  const { server } = inject('database');
  const role = `owner_${randomBytes(6).toString('hex')}`;
  const name = `webhook_session_${randomBytes(6).toString('hex')}`;
  await administer(server, `create role ${role} login password 'secret'`);
  await administer(server, `create database ${name} owner ${role} ${options}`);
  cleanUps.push(async () => {
    await administer(server, `drop database if exists ${name} with (force)`);
    await administer(server, `drop owned by ${role}; drop role ${role}`);
  });
  return { database: { ...server, name, user: role, password: 'secret' }, role };
}

/** In that database, by the server's administrator. */
const inDatabase = (database: DatabaseConfig, statement: string): Promise<void> =>
  administer({ ...inject('database').server, name: database.name }, statement);

const refusalOf = (database: DatabaseConfig): Promise<string> =>
  prepareDatabase(database).then(
    () => 'none',
    (error: unknown) => (error instanceof ConfigError ? error.message : `not a sentence: ${String(error)}`),
  );

describe.each(['role', 'database'] as const)('with hostile settings of the %s', (level) => {
  test('events are published, delivered, read and watched, also after a second start', async () => {
    const { database, role } = await createOwned();
    const target = level === 'role' ? `role ${role}` : `database ${database.name}`;
    await inDatabase(database, 'create schema elsewhere');
    for (const [setting, value] of Object.entries(hostile))
      await administer(
        inject('database').server,
        `alter ${target} set ${setting} = ${setting === 'search_path' ? value : `'${value}'`}`,
      );
    const owned: TestDatabase = openDatabase({ ...inject('database').server, name: database.name });
    cleanUps.push(() => owned.pool.end());
    const receiver = await startReceiver();
    cleanUps.push(() => receiver.close());
    receiver.script('/hook', 500, 200);
    const note = 'größer 😀 \\ \' "';

    await prepareDatabase(database);
    const service = await startApp({ database: { ...owned, config: database } });
    cleanUps.push(() => service.close());
    const developer = await service.as('alice');
    const publisher = await service.as('orders', 'service');
    const webhook = await developer('POST', '/api/v1/webhooks', {
      url: receiver.url('/hook'),
      events: ['order.created'],
      retry_policy: { max_retries: 1, retry_delay: 0.1 },
    });
    expect(webhook.status).toBe(201);
    const stream = watchStream(service.grpc, await service.token('alice'), { webhookIds: [webhook.body.id] });
    await eventually(() => stream.messages.length > 0);
    const published = await publisher('POST', '/api/v1/events', {
      event_type: 'order.created',
      data: { note },
      audience: { user_ids: ['alice'] },
      idempotency_key: 'once',
    });
    expect(published).toMatchObject({ status: 202 });
    await eventually(() => told(stream).length === 2, { what: 'two changes' });
    stream.cancel();

    const path = '/api/v1/webhooks/deliveries';
    const list = await developer('GET', `${path}?webhook_id=${webhook.body.id}`);
    expect(list.body.deliveries).toMatchObject([{ status: 'delivered', attempt_count: 2 }]);
    const delivery = await developer('GET', `${path}/${list.body.deliveries[0].id}?view=payload`);
    expect(delivery.body).toMatchObject({
      payload: { data: { note } },
      attempts: [{ http_status: 500 }, { http_status: 200 }],
    });
    expect(Math.abs(Date.parse(delivery.body.created_at) - Date.now())).toBeLessThan(60_000);
    const stats = await developer('GET', `/api/v1/webhooks/${webhook.body.id}/stats`);
    expect(stats).toMatchObject({ status: 200 });
    const again = await developer('POST', `${path}/${list.body.deliveries[0].id}/retry`);
    expect(again.status).toBe(202);
    await receiver.waitFor(() => receiver.at('/hook').length === 3);
    expect(JSON.parse(receiver.at('/hook')[2]?.body.toString() ?? '').data).toEqual({ note });
    expect(await prepareDatabase(database)).toEqual([]);
  }, 60_000);
});

test('a database is made in UTF-8 whatever the template of the cluster is in, and one in another encoding is refused', async () => {
  const latin = await createOwned(`template template0 encoding 'LATIN1' locale 'C'`);
  expect(await refusalOf(latin.database)).toContain(`is in LATIN1`);
  const { server } = inject('database');
  const name = `webhook_session_${randomBytes(6).toString('hex')}`;
  cleanUps.push(() => administer(server, `drop database if exists ${name} with (force)`));
  await prepareDatabase({ ...server, name });
  const client = new Client({ ...server, database: name, ssl: false });
  await client.connect();
  expect((await client.query('show server_encoding')).rows).toEqual([{ server_encoding: 'UTF8' }]);
  await client.end();
});

test('each privilege that is missing is named, with the statement that gives it', async () => {
  const { server } = inject('database');
  const { database, role } = await createOwned();
  expect(await refusalOf({ ...database, password: 'wrong' })).toContain(`password authentication failed for user "${role}"`);
  expect(await refusalOf({ ...database, name: 'webhook_not_there' })).toContain(`alter role "${role}" createdb`);
  await administer(server, `alter database ${database.name} owner to ${server.user}`);
  expect(await refusalOf(database)).toContain(`grant usage, create on schema public to "${role}"`);
  await inDatabase(database, `grant usage, create on schema public to ${role}`);
  await prepareDatabase({ ...server, name: database.name });
  expect(await refusalOf(database)).toContain(`grant "${server.user}" to "${role}"`);
  await administer(server, `revoke connect on database ${database.name} from public`);
  expect(await refusalOf(database)).toContain(`grant connect on database "${database.name}" to "${role}"`);
});

test('a server that takes no writes is refused at start', async () => {
  const { database, role } = await createOwned();
  await administer(inject('database').server, `alter role ${role} set default_transaction_read_only = on`);
  expect(await refusalOf(database)).toContain('default_transaction_read_only');
});

test('tables of another schema are not left behind for new ones', async () => {
  const { database } = await createOwned();
  await prepareDatabase(database);
  await inDatabase(database, 'alter schema public rename to ours; create schema public');
  expect(await refusalOf(database)).toContain('schema "ours"');
});
