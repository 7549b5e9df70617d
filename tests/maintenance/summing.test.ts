// Summing: hours and days are counted once they are over, late changes are folded in, and a writer that forgets one is found.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { Recount } from '../../src/maintenance/recount.ts';
import { Summing } from '../../src/maintenance/summing.ts';
import type { RecountedDay } from '../../src/persistence/queries/recount-day.ts';
import { cancelDelivery } from '../../src/persistence/queries/cancel-delivery.ts';
import { readPlace } from '../../src/persistence/queries/close-sums.ts';
import { sumPage } from '../../src/persistence/queries/sum-log.ts';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, outcomeRow } from '../persistence/hot-rows.ts';
import { beginSums, wrongSums } from '../persistence/sums.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const openHourMs = Math.floor((Date.now() - 61_000) / HOUR_MS) * HOUR_MS;
const firstDayMs = Math.floor(openHourMs / DAY_MS) * DAY_MS - 2 * DAY_MS;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 3, 3)`);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.pool.query('truncate deliveries, events, webhook_endpoints, hour_sums, day_sums, late_changes');
  await beginSums(database.pool, firstDayMs);
});

function sumUp(pageDeliveries = 1000): Promise<void> {
  const onError = (error: unknown): never => {
    throw error;
  };
  return new Summing({ pool: database.pool, isLeading: () => true, onError, pageDeliveries }).run();
}

/** Deliveries of one webhook, spread over an hour. */
async function add(
  webhookId: string,
  hourMs: number,
  count: number,
  columns: Partial<{ status: string; type: string; ms: number }> = {},
) {
  const ids = Array.from({ length: count }, (_, n) => newId('delivery', hourMs + Math.floor((n * HOUR_MS) / count)));
  const { status = 'delivered', type = 'order.created', ms = 20 } = columns;
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, duration_ms, next_attempt_at)
     select id, 'event_1', $2, 'alice', $3, $4::varchar, $5, case when $4 in ('pending', 'retrying') then now() end from unnest($1::text[]) id`,
    [ids, webhookId, type, status, ms],
  );
  return ids;
}

async function hours(): Promise<[string, string, number, number][]> {
  const { rows } = await database.pool.query<{ row: [string, string, number, number] }>(
    `select jsonb_build_array(webhook_id, user_id, (extract(epoch from hour) * 1000 - $1::float8) / ${HOUR_MS}, total) as row from hour_sums
     order by hour, webhook_id, user_id`,
    [firstDayMs],
  );
  return rows.map(({ row }) => row);
}

test('an hour that was busy or in trouble gets a row, one that was neither does not, and the platform always does', async () => {
  await add('busy', firstDayMs, 20);
  await add('quiet', firstDayMs, 19);
  await add('troubled', firstDayMs + HOUR_MS, 1, { status: 'failed' });
  await add('open', openHourMs, 50);
  await sumUp();
  expect(await hours()).toEqual([
    ['', '', 0, 39],
    ['', 'alice', 0, 39],
    ['busy', 'alice', 0, 20],
    ['', '', 1, 1],
    ['', 'alice', 1, 1],
    ['troubled', 'alice', 1, 1],
  ]);
  expect(await wrongSums(database.pool)).toEqual([]);
});

test('an hour with more than a page is counted in parts, with a row of every webhook', async () => {
  await add('busy', firstDayMs, 40, { type: 'tip.received' });
  await add('quiet', firstDayMs, 5);
  await sumUp(10);
  expect((await hours()).map(([webhookId, , , total]) => [webhookId, total])).toEqual([
    ['', 45],
    ['', 45],
    ['busy', 40],
    ['quiet', 5],
  ]);
  expect(await wrongSums(database.pool)).toEqual([]);
});

test('a delivery that is made late in the counted part of an hour is in the row that the rest of the hour makes', async () => {
  await add('busy', firstDayMs, 20);
  const half = idFloor('delivery', firstDayMs + HOUR_MS / 2);
  await database.pool.query('update summing set closing_below = $1', [half]);
  expect((await sumPage(database.pool, half, 10))?.counted).toBe(10);
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint) values ('new', 'bob', 'https://x', '["order.created"]', 's', 'h')`,
  );
  const event = (ms: number) => eventRow({ id: newId('event', firstDayMs + ms), userIds: ['bob'] });
  const { deliveries } = await insertEvents(database.pool, [event(1), event(HOUR_MS - 1)], null);
  const [early] = [...deliveries.values()].flat();
  await recordOutcomes(database.pool, [outcomeRow(early!.deliveryId)]);
  await sumUp();
  expect(await hours()).toContainEqual(['', 'bob', 0, 2]);
  expect(await wrongSums(database.pool)).toEqual([]);
});

test('days of all webhooks are counted when they are over', async () => {
  await add('quiet', firstDayMs + 5 * HOUR_MS, 1);
  await add('quiet', firstDayMs + DAY_MS, 2, { status: 'cancelled' });
  await sumUp();
  const { rows } = await database.pool.query('select webhook_id, day::text, total, cancelled from day_sums order by 1, 2');
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  expect(rows).toEqual(
    ['', 'quiet'].flatMap((webhook_id) => [
      { webhook_id, day: day(firstDayMs), total: 1, cancelled: 0 },
      { webhook_id, day: day(firstDayMs + DAY_MS), total: 2, cancelled: 2 },
    ]),
  );
});

test('what changes after it was counted changes the sums, and an hour that comes into trouble gets a row', async () => {
  const [late] = await add('quiet', firstDayMs, 3, { status: 'pending' });
  const [, other] = await add('busy', firstDayMs, 30, { status: 'retrying' });
  await add('calm', firstDayMs, 3);
  await sumUp();
  await recordOutcomes(database.pool, [
    outcomeRow(late!, { durationMs: 700 }),
    outcomeRow(other!, { status: 'failed', durationMs: 30, errorCode: 'timeout', httpStatus: null }),
  ]);
  // A webhook without a row for its hour: an event that is published late.
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint) values ('new', 'bob', 'https://x', '["order.created"]', 's', 'h')`,
  );
  const { deliveries } = await insertEvents(
    database.pool,
    [eventRow({ id: newId('event', firstDayMs + 1), userIds: ['bob'] })],
    null,
  );
  const [early] = [...deliveries.values()].flat();
  await cancelDelivery(database.pool, early!.deliveryId);
  await sumUp();
  expect(await hours()).toContainEqual(['new', 'bob', 0, 1]);
  expect(await wrongSums(database.pool)).toEqual([]);
  expect((await database.pool.query('select 1 from late_changes')).rowCount).toBe(0);
});

test('the platform names the deliveries of a type that an hour has few of, late ones too', async () => {
  const few = await add('busy', firstDayMs, 3, { type: 'tip.received' });
  await add('busy', firstDayMs, 60);
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint) values ('new', 'bob', 'https://x', '["tip.received"]', 's', 'h')`,
  );
  await sumUp(17);
  const { deliveries } = await insertEvents(
    database.pool,
    [eventRow({ id: newId('event', firstDayMs + 1), userIds: ['bob'], eventType: 'tip.received' })],
    null,
  );
  await sumUp();
  const { rows } = await database.pool.query<{ rare: unknown }>(
    `select rare from hour_sums where webhook_id = '' and user_id = ''`,
  );
  const late = [...deliveries.values()].flat().map(({ deliveryId }) => deliveryId);
  expect(rows).toEqual([{ rare: { 'tip.received': [...few, ...late].toSorted() } }]);
});

test('a first try that succeeds writes no late change', async () => {
  await sumUp();
  const [id] = await add('new', Date.now() - 1, 1, { status: 'pending' });
  await recordOutcomes(database.pool, [outcomeRow(id!)]);
  expect((await database.pool.query('select 1 from late_changes')).rowCount).toBe(0);
});

test('nothing is counted while a transaction is open that began before the hour was closed', async () => {
  await add('busy', firstDayMs, 20);
  const client = await database.pool.connect();
  try {
    await client.query('begin');
    await client.query(
      `insert into late_changes values ('delivery_0', 'w', 'u', 't', null, null, null, 'pending', null, null)`,
    );
    await sumUp();
    expect(await hours()).toEqual([]);
    await client.query('rollback');
    await sumUp();
    expect(await hours()).toHaveLength(3);
  } finally {
    client.release();
  }
});

test('after a clock that was ahead has been set back, hours that are yet to come are counted when they are over', async () => {
  await add('busy', firstDayMs, 20);
  await add('busy', openHourMs, 30);
  await sumUp();
  const ahead = idFloor('delivery', openHourMs + 40 * DAY_MS);
  await database.pool.query('update summing set closing_below = $1', [ahead]);
  const summing = new Summing({ pool: database.pool, isLeading: () => true, onError: () => undefined });
  // As the clock that was ahead did it.
  await database.pool.query(
    `insert into hour_sums (webhook_id, user_id, hour, total, retrying, delivered, failed, cancelled) values ('', '', to_timestamp($1::float8 / 1000), 30, 0, 30, 0, 0)`,
    [openHourMs],
  );
  await database.pool.query('update summing set hours_below = $1', [ahead]);
  await summing.run();
  expect(await readPlace(database.pool)).toMatchObject({
    closingBelow: idFloor('delivery', openHourMs),
    hoursBelow: idFloor('delivery', openHourMs),
  });
  await summing.run();
  expect(await wrongSums(database.pool)).toEqual([]);
});

test('a writer that forgets its late change is found by counting a day again', async () => {
  const [forgotten] = await add('w1', firstDayMs, 3, { status: 'retrying' });
  await add('w2', firstDayMs, 3);
  await sumUp();
  const wrong: RecountedDay[] = [];
  const recount = new Recount({ pool: database.pool, onWrong: (day) => wrong.push(day) });
  expect([await recount.run(0), await recount.run(0), await recount.run(0)]).toEqual([0, 0, 0]);
  await recordOutcomes(database.pool, [outcomeRow(forgotten!)]);
  // Not folded yet, and not wrong.
  expect([await recount.run(0), await recount.run(0), await recount.run(0)]).toEqual([0, 0, 0]);
  await database.pool.query('delete from late_changes');
  expect([await recount.run(0), await recount.run(0), await recount.run(0)]).toEqual([1, 0, 0]);
  expect(wrong).toMatchObject([{ webhookId: 'w1', sums: [3, 3, 0, 0, 0, 3, 0], log: [3, 2, 1, 0, 0, 3, 0] }]);
});
