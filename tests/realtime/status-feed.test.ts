// The status feed against PostgreSQL: whatever the bus loses and in whatever order changes commit, each is sent, and no hole is left.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PoolClient } from 'pg';
import { newId } from '../../src/domain/ids.ts';
import { loadChanged } from '../../src/persistence/queries/list-changes.ts';
import { Reports } from '../../src/persistence/reports.ts';
import { resumeFrom } from '../../src/realtime/cursor.ts';
import { pause } from '../../src/lifecycle/pause.ts';
import { LocalStatusBus } from '../../src/realtime/local-status-bus.ts';
import { StatusFeed } from '../../src/realtime/status-feed.ts';
import { MAX_QUEUED_UPDATES, toUpdate, type FeedMessage, type FeedUpdate, type Watcher } from '../../src/realtime/watcher.ts';
import type { WatchFilter } from '../../src/realtime/watch-filter.ts';
import { WatcherPlaces } from '../../src/realtime/watcher-places.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { quietTelemetry } from '../../src/telemetry/telemetry.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

let database: TestDatabase;
let bus: LocalStatusBus;
let feed: StatusFeed;
let feeds: StatusFeed[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  bus = new LocalStatusBus(silentLogger);
  feed = newFeed();
});
afterEach(async () => {
  for (const each of feeds) await each.drain();
  feeds = [];
  await database.drop();
});

function newFeed(): StatusFeed {
  const telemetry = quietTelemetry();
  const made = new StatusFeed({
    bus,
    pool: database.pool,
    reports: new Reports(database.pool),
    telemetry,
    places: new WatcherPlaces({ maxPerUser: 5, metrics: telemetry.metrics }),
    heartbeatIntervalMs: 100,
  });
  feeds.push(made);
  return made;
}

const everything: WatchFilter = {
  userId: null,
  webhookIds: new Set(),
  eventTypes: new Set(),
  statuses: new Set(),
  eventId: null,
};

interface Reading {
  readonly watcher: Watcher;
  readonly messages: FeedMessage[];
  readonly updates: () => FeedUpdate[];
  /** Of the last message. */
  readonly cursor: () => string;
}

async function watch(options: { feed?: StatusFeed; filter?: Partial<WatchFilter>; after?: string } = {}): Promise<Reading> {
  const watcher = await (options.feed ?? feed).watch({
    caller: 'somebody',
    filter: { ...everything, ...options.filter },
    fromMicros: options.after === undefined ? null : resumeFrom(options.after),
  });
  const messages: FeedMessage[] = [];
  const read = async (): Promise<void> => {
    for (let message = await watcher.next(); message !== null; message = await watcher.next()) messages.push(message);
  };
  read().catch(() => {});
  await eventually(() => messages.length > 0, { what: 'the first message' });
  return {
    watcher,
    messages,
    updates: () => messages.filter((message) => message.kind === 'update'),
    cursor: () => messages.at(-1)?.cursor ?? '',
  };
}

async function newDeliveries(count: number, userId = 'user123'): Promise<string[]> {
  const ids = Array.from({ length: count }, () => newId('delivery', Date.now()));
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at)
     select id, 'event_x', 'webhook_x', $2, 'order.created', now() from unnest($1::text[]) id`,
    [ids, userId],
  );
  return ids;
}

/** As the recorder's statement: the time of the change is the statement's, not the commit's, and a first success enters no index. */
async function change(id: string, status: string, client: PoolClient | TestDatabase['pool'] = database.pool): Promise<void> {
  await client.query(
    `update deliveries set status = $2::varchar, attempt_count = attempt_count + 1, updated_at = clock_timestamp(),
       changed_at = case when attempt_count > 0 or changed_at is not null or $2 <> 'delivered' then clock_timestamp() end
     where id = $1`,
    [id, status],
  );
}

async function publish(id: string): Promise<void> {
  bus.publish((await loadChanged(database.pool, [id])).map(toUpdate));
}

const told = (reading: Reading): string[] => reading.updates().map(({ update }) => `${update.deliveryId}:${update.status}`);

test('what the bus brings is sent at once, and not again from PostgreSQL', async () => {
  const [id = ''] = await newDeliveries(1);
  const reading = await watch();
  await change(id, 'delivered');
  await publish(id);
  await eventually(() => reading.updates().length > 0, { deadlineMs: 500, what: 'the update' });
  const after = reading.messages.length;
  // Heartbeats whose position has passed the change: PostgreSQL was asked since.
  await eventually(() => reading.messages.slice(after).some(({ cursor }) => cursor > (reading.updates()[0]?.cursor ?? '')));
  expect(told(reading)).toEqual([`${id}:delivered`]);
});

test('what the bus loses is sent from PostgreSQL within five seconds; that a delivery was made is no change', async () => {
  const [id = ''] = await newDeliveries(2);
  const reading = await watch();
  await change(id, 'retrying');
  await eventually(() => reading.updates().length > 0, { deadlineMs: 5000, what: 'the update' });
  expect(told(reading)).toEqual([`${id}:retrying`]);
});

test('a change that commits long after later ones is sent all the same, once', async () => {
  const [slow = '', quick = ''] = await newDeliveries(2);
  const reading = await watch();
  const client = await database.pool.connect();
  await client.query('begin');
  await change(slow, 'delivered', client);
  await change(quick, 'failed');
  await eventually(() => reading.updates().length === 1, { what: 'the quick one' });
  const behind = reading.cursor();
  const asked = reading.messages.length;
  await eventually(() => reading.messages.length > asked + 25, { what: 'PostgreSQL to be asked twice more' });
  await client.query('commit');
  client.release();
  await eventually(() => reading.updates().length === 2, { what: 'the slow one' });
  expect(told(reading)).toEqual([`${quick}:failed`, `${slow}:delivered`]);

  // Nor does a watcher miss it that had seen the quick one and then went away.
  const resumed = await watch({ feed: newFeed(), after: behind });
  await eventually(() => told(resumed).includes(`${slow}:delivered`));
});

test('an update that the bus delivers late, after a later one, is left out', async () => {
  const [id = ''] = await newDeliveries(1);
  const reading = await watch();
  await change(id, 'retrying');
  const late = (await loadChanged(database.pool, [id])).map(toUpdate);
  await change(id, 'delivered');
  await publish(id);
  await eventually(() => told(reading).includes(`${id}:delivered`), { intervalMs: 1 });
  bus.publish(late);
  await change(id, 'failed');
  await publish(id);
  await eventually(() => told(reading).includes(`${id}:failed`));
  const cursors = reading.updates().map(({ cursor }) => cursor);
  expect(cursors.toSorted()).toEqual(cursors);
  expect(told(reading).slice(-2)).toEqual([`${id}:delivered`, `${id}:failed`]);
});

test('a watcher that comes and goes by cursor, on one process or another, sees every last state while changes go on', async () => {
  const ids = await newDeliveries(40);
  const processes = [feed, newFeed()];
  const states = new Map<string, FeedUpdate>();
  const seen = new Set<string>();
  let repeats = 0;
  let isWriting = true;
  const write = async (writer: number): Promise<void> => {
    for (let n = 0; n < 60; n += 1) {
      const id = ids[(writer * 10 + n) % ids.length] ?? '';
      const client = await database.pool.connect();
      await client.query('begin');
      await change(id, 'retrying', client);
      if (n % 3 === 0) await pause((n * 7) % 40);
      await client.query('commit');
      client.release();
      // Every other message is lost.
      if (n % 2 === 0) await publish(id);
    }
  };
  const watchOn = async (): Promise<void> => {
    let after: string | undefined;
    for (let turn = 0; isWriting || turn < 4; turn += 1) {
      const reading = await watch({ feed: processes[turn % 2] ?? feed, ...(after === undefined ? {} : { after }) });
      await pause(30 + ((turn * 37) % 250));
      for (const one of reading.updates()) {
        if (seen.has(one.cursor)) repeats += 1;
        seen.add(one.cursor);
        const last = states.get(one.update.deliveryId);
        if (last === undefined || last.micros < one.micros) states.set(one.update.deliveryId, one);
      }
      // As a client would: what it has read, it has read.
      after = reading.cursor();
      reading.watcher.close();
    }
  };
  const watching = watchOn();
  await Promise.all([0, 1, 2, 3].map(write));
  for (const id of ids) await change(id, 'delivered');
  await eventually(
    () => states.size === ids.length && [...states.values()].every(({ update }) => update.status === 'delivered'),
  );
  isWriting = false;
  await watching;
  expect([...states.values()].map(({ update }) => `${update.deliveryId}:${update.status}`).toSorted()).toEqual(
    ids.map((id) => `${id}:delivered`).toSorted(),
  );
  expect(repeats).toBeGreaterThan(0);
}, 60_000);

test('after a position nothing is sent twice', async () => {
  const [id = ''] = await newDeliveries(1);
  const reading = await watch();
  await change(id, 'delivered');
  await publish(id);
  await eventually(() => reading.updates().length === 1);
  const changed = reading.cursor();
  const position = await eventually(() =>
    reading.messages.find(({ kind, cursor }) => kind === 'heartbeat' && cursor > changed),
  );
  const resumed = await watch({ after: position.cursor });
  await change(id, 'failed');
  await eventually(() => resumed.updates().length > 0, { what: 'the later change' });
  expect(told(resumed)).toEqual([`${id}:failed`]);
});

test('a watcher that does not read gets a gap and then the latest states; the others get everything', async () => {
  const ids = await newDeliveries(3);
  const reader = await watch();
  const sleeper = await feed.watch({ caller: 'sleeper', filter: everything, fromMicros: null });
  await sleeper.next();
  const rounds = MAX_QUEUED_UPDATES + 100;
  for (let round = 1; round <= rounds; round += 1) {
    await change(ids[round % 3] ?? '', round > rounds - 3 ? 'delivered' : 'retrying');
    await publish(ids[round % 3] ?? '');
  }
  await eventually(() => reader.updates().length === rounds, { what: 'all to be told' });
  expect(feed.status(null)).toMatchObject({ watchers: 2, buffered: MAX_QUEUED_UPDATES, dropped: 100 });
  expect(feed.status('sleeper')).toMatchObject({ watchers: 1, dropped: 100 });
  const messages: FeedMessage[] = [];
  while (messages.at(-1)?.kind !== 'heartbeat') messages.push((await sleeper.next()) as FeedMessage);
  const gap = messages.findIndex(({ kind }) => kind === 'gap');
  expect(gap).toBe(MAX_QUEUED_UPDATES);
  expect(messages[gap]).toMatchObject({ dropped: 100 });
  const after = messages.slice(gap + 1).flatMap((message) => (message.kind === 'update' ? [message.update] : []));
  expect(after.map(({ deliveryId, status }) => `${deliveryId}:${status}`).toSorted()).toEqual(
    ids.map((id) => `${id}:delivered`).toSorted(),
  );
  sleeper.close();
}, 60_000);

test('refuses more watchers than a user may have, cursors of others’ making, and cursors of the day before yesterday', async () => {
  const readings = await Promise.all([1, 2, 3, 4, 5].map(() => watch()));
  await expect(watch()).rejects.toMatchObject({ code: 'resource_exhausted', reason: 'watcher_limit_reached' });
  readings[0]?.watcher.close();
  await watch();
  for (const cursor of ['1', 'x', '1763900000000000-', `1763900000000000-${'!'.repeat(26)}`, '0'.repeat(17)]) {
    expect(() => resumeFrom(cursor)).toThrow(expect.objectContaining({ reason: 'cursor_invalid' }));
  }
  const old = { caller: 'other', filter: everything, fromMicros: (Date.now() - 2 * 86_400_000) * 1000 };
  await expect(feed.watch(old)).rejects.toMatchObject({ reason: 'cursor_invalid' });
});

test('without a watcher, PostgreSQL is not asked and the bus is not listened to', async () => {
  const reading = await watch();
  expect(bus.hasListeners).toBe(true);
  reading.watcher.close();
  expect(bus.hasListeners).toBe(false);
  expect(feed.status(null)).toEqual({ watchers: 0, buffered: 0, dropped: 0, lagMs: 0 });
  await eventually(() => database.pool.idleCount === database.pool.totalCount);
  let asked = 0;
  database.pool.on('acquire', () => (asked += 1));
  await pause(1500);
  expect(asked).toBe(0);
});
