// Retention: what is past it goes, a few days a round and said before; nothing that is still to be tried goes with it.
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { partitionDays } from '../../src/maintenance/partitions.ts';
import { dropPastDays, type RetentionOptions } from '../../src/maintenance/retention.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

const DAY_MS = 86_400_000;
const nowMs = Date.now();
let database: TestDatabase;
let lines: Record<string, unknown>[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  lines = [];
  await database.pool.query('delete from deliveries');
  for (const day of await days()) {
    if (day < dayOf(nowMs - 10 * DAY_MS))
      await database.pool.query(['events', 'deliveries', 'attempts'].map((name) => `drop table ${name}_${day}`).join(';'));
  }
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 40, 5)`);
  await database.pool.query(`update adoption set adopted_below = $1`, [idFloor('delivery', nowMs - 60_000)]);
});

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');
const oldest = nowMs - 40 * DAY_MS;
const days = (): Promise<string[]> => partitionDays(database.pool);

function drop(overrides: Partial<RetentionOptions> = {}): Promise<string[]> {
  const stream = new PassThrough();
  stream.on('data', (chunk: Buffer) => lines.push(JSON.parse(String(chunk)) as Record<string, unknown>));
  const log = createLogger({ environment: 'production', logLevel: 'info', version: '', role: 'all' }, stream);
  return dropPastDays({ pool: database.pool, retentionDays: 38, isLeading: () => true, log, ...overrides });
}

/** Pending ones are scheduled, or leased on insert. */
async function insertDelivery(status: string, isScheduled = true): Promise<string> {
  const id = newId('delivery', oldest);
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, next_attempt_at, leased_until)
     values ($1, 'event_1', $3, 'u', 'order.created', $2::varchar, case when $4 then now() end, case when not $4 then now() end)`,
    [id, status, newId('webhook', oldest), isScheduled && ['pending', 'retrying'].includes(status)],
  );
  return id;
}

test('days past retention are dropped, younger ones are not', async () => {
  await insertDelivery('delivered');
  await insertDelivery('failed');
  expect(await drop()).toEqual(
    ['deliveries', 'attempts', 'events']
      .map((name) => `${name}_${dayOf(oldest)}`)
      .concat(['deliveries', 'attempts', 'events'].map((name) => `${name}_${dayOf(oldest + DAY_MS)}`)),
  );
  expect(await days()).not.toContain(dayOf(oldest));
  expect(await days()).toContain(dayOf(nowMs - 38 * DAY_MS));
});

test('the log names a day and its deliveries before it is dropped', async () => {
  await insertDelivery('delivered');
  await drop();
  expect(lines).toContainEqual(expect.objectContaining({ level: 'info', day: dayOf(oldest), deliveries: 1 }));
});

test('a round drops two days at most, so that a wrong clock cannot take the whole log at once', async () => {
  await drop({ retentionDays: 20 });
  expect((await days()).filter((day) => day < dayOf(nowMs - 20 * DAY_MS))).toHaveLength(3);
  await drop({ retentionDays: 20 });
  await drop({ retentionDays: 20 });
  expect((await days()).filter((day) => day < dayOf(nowMs - 20 * DAY_MS))).toEqual([]);
});

test('nothing is dropped while the clocks of database and process differ by more than a minute', async () => {
  const before = await days();
  expect(await drop({ processNowMs: () => Date.now() - 61_000 })).toEqual([]);
  expect(await drop({ processNowMs: () => Date.now() + 61_000 })).toEqual([]);
  expect(await days()).toEqual(before);
  expect(lines).toContainEqual(expect.objectContaining({ level: 'warn', day: dayOf(oldest) }));
  expect(await drop({ processNowMs: () => Date.now() - 30_000 })).not.toEqual([]);
});

test('a process that loses leadership on the way drops nothing more', async () => {
  let asked = 0;
  expect(await drop({ isLeading: () => (asked += 1) < 3 })).toEqual([]);
  expect(await days()).toContain(dayOf(oldest));
});

test('a day with a scheduled delivery is kept until that has come to its end', async () => {
  await insertDelivery('retrying');
  await drop();
  expect(await days()).toContain(dayOf(oldest));
  await database.pool.query(`update deliveries set status = 'failed', next_attempt_at = null, failed_at = now()`);
  await drop();
  expect(await days()).not.toContain(dayOf(oldest));
});

test('a day with an unfinished delivery leased on insert is kept, and the delivery becomes due', async () => {
  const id = await insertDelivery('pending', false);
  await drop();
  expect(await days()).toContain(dayOf(oldest));
  const scheduler = new PostgresScheduler(database.pool, { leaseMs: 5000 });
  const { leased } = await scheduler.claim({ max: 10, perWebhook: 10, room: new Map() });
  expect(leased.map(({ deliveryId }) => deliveryId)).toEqual([id]);
});

test('a day that may still have deliveries leased on insert is kept', async () => {
  await database.pool.query('update adoption set adopted_below = $1', [idFloor('delivery', oldest - DAY_MS)]);
  expect(await drop()).toEqual([]);
});

test('a delivery retried by hand while its day is being dropped keeps the day', async () => {
  const id = await insertDelivery('failed');
  const caller = await database.pool.connect();
  await caller.query('begin');
  await caller.query('select count(*) from deliveries');
  // The day has been read and the drop waits for its lock behind the caller.
  const dropping = drop();
  await eventually(
    async () => {
      const { rowCount } = await database.pool.query(
        `select 1 from pg_locks where relation = 'deliveries'::regclass and not granted and mode = 'AccessExclusiveLock'
         and database = (select oid from pg_database where datname = current_database())`,
      );
      return rowCount === 1;
    },
    { intervalMs: 5 },
  );
  await caller.query(`update deliveries set status = 'retrying', next_attempt_at = now() where id = $1`, [id]);
  await caller.query('commit');
  caller.release();
  expect(await dropping).not.toContain(`deliveries_${dayOf(oldest)}`);
  expect(await days()).toContain(dayOf(oldest));
});

test('a session that reads for long is waited for but briefly, and holds up no other', async () => {
  const reader = await database.pool.connect();
  await reader.query('begin');
  await reader.query('select count(*) from deliveries');
  await expect(drop()).rejects.toMatchObject({ code: '55P03' });
  await insertDelivery('pending');
  await reader.query('rollback');
  reader.release();
});
