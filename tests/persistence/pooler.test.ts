// PgBouncer in transaction mode, as docs/operations.md writes it: the service works behind it under load, and says what is missing where it does not.
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError, type DatabaseConfig } from '../../src/config.ts';
import { requirePooledSessions } from '../../src/persistence/pooled-sessions.ts';
import { prepareDatabase } from '../../src/persistence/prepare-database.ts';
import { startApp } from '../fixtures/app.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { pgBouncers, startPooler, type TestPooler } from '../fixtures/pgbouncer.ts';
import { startReceiver } from '../fixtures/receiver.ts';
import { restClient } from '../fixtures/rest.ts';

const programs = pgBouncers();
const current = programs.find(({ isNew }) => isNew);
const old = programs.find(({ isNew }) => !isNew);
if (current === undefined) console.log('skipped: no PgBouncer of 1.21 or newer on this machine');

/** Events of each of two processes; fewer sessions than clients, so that each statement may come to any session. */
const EVENTS = 500;
const BATCH = 25;
const SESSIONS = 'default_pool_size = 3';

let database: TestDatabase;
let pooler: TestPooler | undefined;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
afterEach(async () => {
  await pooler?.close();
  pooler = undefined;
});

async function countDelivered(): Promise<number> {
  const { rows } = await database.pool.query<{ count: string }>(`select count(*) from deliveries where status = 'delivered'`);
  return Number(rows[0]?.count);
}

/** Prepares the database as a start does, and resolves to what the pooler is refused for. */
async function refusalOf(config: DatabaseConfig): Promise<string> {
  try {
    await prepareDatabase(config);
    await requirePooledSessions(config);
    return 'none';
  } catch (error) {
    return error instanceof ConfigError ? error.message : `not a sentence: ${String(error)}`;
  }
}

describe.skipIf(current === undefined)(`PgBouncer ${current?.version ?? ''}`, () => {
  const start = async (change?: (ini: string) => string): Promise<DatabaseConfig> => {
    if (current === undefined) throw new Error('no PgBouncer');
    pooler = await startPooler(current, database.config, change);
    return pooler.config;
  };

  test('two processes share a few sessions under load: each event is delivered once, and no statement fails', async () => {
    const config = await start((ini) => ini.replace(/^default_pool_size = .*$/m, SESSIONS));
    const behind: TestDatabase = { ...database, config };
    const receiver = await startReceiver();
    const env = { WEBHOOK_SECRET_KEYS: `k1:${randomBytes(32).toString('base64')}` };
    const [first, second] = [await startApp({ database: behind, env }), await startApp({ database: behind, env })];
    const developer = await first.as('user123');
    const webhook = await developer('POST', '/api/v1/webhooks', { url: receiver.url('/hook'), events: ['order.created'] });
    expect(webhook.status).toBe(201);
    const publish = async (http: string, token: string): Promise<void> => {
      const publisher = restClient(http, token);
      for (let sent = 0; sent < EVENTS; sent += BATCH) {
        const calls = Array.from({ length: BATCH }, (_, index) =>
          publisher('POST', '/api/v1/events', {
            event_type: 'order.created',
            data: { order_id: `${http} ${sent + index}` },
            audience: { user_ids: ['user123'] },
          }),
        );
        for (const answer of await Promise.all(calls)) expect(answer.status).toBe(202);
      }
    };
    await Promise.all([first, second].map(async (app) => publish(app.http, await app.token('orders', 'service'))));
    await eventually(() => receiver.at('/hook').length >= 2 * EVENTS, { what: 'the deliveries', deadlineMs: 60_000 });
    await eventually(async () => (await countDelivered()) === 2 * EVENTS, { what: 'the outcomes', deadlineMs: 30_000 });
    expect(new Set(receiver.at('/hook').map((request) => request.headers['webhook-id'])).size).toBe(2 * EVENTS);
    expect(receiver.at('/hook')).toHaveLength(2 * EVENTS);
    const metrics = await Promise.all(
      [first, second].map(async (app) => (await fetch(`${app.app.addresses.metrics}/metrics`)).text()),
    );
    for (const text of metrics) expect(/store_errors_total\{store="database"\} (\d+)/.exec(text)?.[1] ?? '0').toBe('0');
    await Promise.all([first.close(), second.close()]);
    await receiver.close();
  }, 120_000);

  test.each([
    [
      'has no prepared statements',
      /does not keep apart .* PgBouncer 1\.21 or newer/,
      (ini: string) => ini.replace(/^max_prepared_statements = .*$/m, 'max_prepared_statements = 0'),
    ],
    [
      'refuses start-up parameters',
      /refuses what a session sets .*ignore_startup_parameters = options/,
      (ini: string) => ini.replace(/^ignore_startup.*$/m, ''),
    ],
    ['lacks a database', /has no database ".*_batch"/, (ini: string) => ini.replace(/^\S+_batch .*$/m, '')],
    [
      'gives a session the settings of another kind',
      /sessions of ".*_outcome" without their settings \(.*lock_timeout.*connect_query must be select homechef_session\('outcome'\)/,
      (ini: string) => ini.replace("''outcome''", "''batch''"),
    ],
  ])('a pooler that %s is refused in a sentence', async (_what, sentence, change) => {
    expect(await refusalOf(await start(change))).toMatch(sentence);
  });

  test('without DB_DIRECT_HOST it is refused in a sentence that names it', async () => {
    const { direct: _, ...alone } = await start();
    expect(await refusalOf(alone)).toMatch(/DB_DIRECT_HOST/);
  });
});

describe.skipIf(old === undefined)(`PgBouncer ${old?.version ?? ''}`, () => {
  test('is refused in a sentence that says which is needed', async () => {
    if (old === undefined) throw new Error('no PgBouncer');
    // It does not know the last but one line.
    const documented = (ini: string): string => ini.replace(/^max_prepared_statements = .*$/m, '');
    pooler = await startPooler(old, database.config, documented);
    expect(await refusalOf(pooler.config)).toMatch(/PgBouncer 1\.21 or newer is needed/);
    await pooler.close();
    pooler = await startPooler(old, database.config, (ini) => documented(ini).replace(/^ignore_startup.*$/m, ''));
    expect(await refusalOf(pooler.config)).toMatch(/PgBouncer 1\.21 or newer is needed/);
  });
});
