// The event feed against PostgreSQL: in whatever order events commit, each that concerns a watcher is sent, once, and no hole is left.
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Pool, PoolClient } from 'pg';
import { newId } from '../../src/domain/ids.ts';
import { Reports } from '../../src/persistence/reports.ts';
import { readEventCursor } from '../../src/realtime/event-cursor.ts';
import { EventFeed } from '../../src/realtime/event-feed.ts';
import { BEHIND_MICROS, type EventMessage, type EventWatcher } from '../../src/realtime/event-watcher.ts';
import { WatcherPlaces } from '../../src/realtime/watcher-places.ts';
import { quietTelemetry } from '../../src/telemetry/telemetry.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

const MAX_PER_USER = 3;

let database: TestDatabase;
let feed: EventFeed;
let feeds: EventFeed[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  feed = newFeed();
});
afterEach(async () => {
  for (const each of feeds) await each.drain();
  feeds = [];
  await database.drop();
});

function newFeed(pool: Pool = database.pool, maxPerUser = MAX_PER_USER): EventFeed {
  const telemetry = quietTelemetry();
  const places = new WatcherPlaces({ maxPerUser, metrics: telemetry.metrics });
  const made = new EventFeed({ pool, reports: new Reports(pool), telemetry, places, heartbeatIntervalMs: 100 });
  feeds.push(made);
  return made;
}

interface Reading {
  readonly watcher: EventWatcher;
  readonly messages: EventMessage[];
  /** Ids of events, in the order in which they came. */
  readonly events: () => string[];
  /** Of the last message. */
  readonly cursor: () => string;
  readonly ended: Promise<unknown>;
}

interface Options {
  readonly from?: EventFeed;
  readonly after?: string;
  readonly subscriptions?: readonly string[];
}

async function watch(userId: string, { from = feed, after, subscriptions = [] }: Options = {}): Promise<Reading> {
  const watcher = await from.watch({
    userId,
    caller: userId,
    subscriptions,
    filter: null,
    from: after === undefined ? null : readEventCursor(after),
  });
  const messages: EventMessage[] = [];
  const read = async (): Promise<unknown> => {
    try {
      for (let message = await watcher.next(); message !== null; message = await watcher.next()) messages.push(message);
      return undefined;
    } catch (error) {
      return error;
    }
  };
  return {
    watcher,
    messages,
    events: () => messages.flatMap((message) => (message.kind === 'event' ? [message.event.id] : [])),
    cursor: () => messages.at(-1)?.cursor ?? '',
    ended: read(),
  };
}

/** Resolves when the watcher has sent all that was committed before this call. */
async function caughtUp(reading: Reading): Promise<void> {
  const nowMs = Date.now();
  await eventually(
    () => {
      const last = reading.messages.at(-1);
      return last?.kind === 'heartbeat' && readEventCursor(last.cursor).micros > nowMs * 1000;
    },
    { what: 'a heartbeat after now' },
  );
}

interface Fields {
  readonly users?: readonly string[];
  readonly broadcast?: boolean;
  readonly type?: string;
  readonly data?: string;
  /** When it was published. */
  readonly atMs?: number;
}

async function insert(client: Pool | PoolClient, fields: Fields = {}): Promise<string> {
  const { users = ['alice'], broadcast = false, type = 'order.created', data = '{}', atMs = Date.now() } = fields;
  const id = newId('event', atMs);
  await client.query(
    `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast, created_at)
     values ($1, $2, $3, now(), 'orders', $4, $5, ${fields.atMs === undefined ? 'now()' : 'to_timestamp($6 / 1000.0)'})`,
    [id, type, data, users, broadcast, ...(fields.atMs === undefined ? [] : [atMs])],
  );
  return id;
}

test('a watcher gets each event of its user and each broadcast, once, and nothing of others', async () => {
  const alice = await watch('alice');
  const bob = await watch('bob');
  const first = await insert(database.pool);
  const forBoth = await insert(database.pool, { users: ['carol', 'bob', 'alice'] });
  const forAll = await insert(database.pool, { users: [], broadcast: true });
  await insert(database.pool, { users: ['carol'] });
  await Promise.all([caughtUp(alice), caughtUp(bob)]);
  expect(alice.events().toSorted()).toEqual([first, forBoth, forAll].toSorted());
  expect(bob.events().toSorted()).toEqual([forBoth, forAll].toSorted());
});

test('a watcher without a cursor begins now', async () => {
  await insert(database.pool, { atMs: Date.now() - 60_000 });
  const alice = await watch('alice');
  await caughtUp(alice);
  expect(alice.events()).toEqual([]);
});

test('an event that was committed after later ones is sent, and none of those twice', async () => {
  const alice = await watch('alice');
  const client = await database.pool.connect();
  await client.query('begin');
  const late = await insert(client);
  const before = [await insert(database.pool), await insert(database.pool)];
  await eventually(() => alice.events().length === 2, { what: 'what was committed first' });
  await client.query('commit');
  client.release();
  const after = await insert(database.pool);
  await caughtUp(alice);
  expect(alice.events().toSorted()).toEqual([late, ...before, after].toSorted());
});

test('a watcher that resumes gets what was published while it was away, as the same temporary webhook', async () => {
  const first = await watch('alice');
  await insert(database.pool);
  await eventually(() => first.events().length === 1);
  first.watcher.close();
  const missed = [await insert(database.pool), await insert(database.pool)];
  const again = await watch('alice', { after: first.cursor(), from: newFeed() });
  await caughtUp(again);
  expect(again.events().filter((id) => !first.events().includes(id))).toEqual(missed.toSorted());
  expect(again.watcher.webhookId).toBe(first.watcher.webhookId);
  const other = await watch('alice', { from: newFeed() });
  expect(other.watcher.webhookId).not.toBe(first.watcher.webhookId);
});

test('a watcher that resumes late is sent that it is behind, and everything', async () => {
  const alice = await watch('alice');
  await caughtUp(alice);
  const agoMs = (BEHIND_MICROS / 1000) * 2;
  const missed = await insert(database.pool, { atMs: Date.now() - agoMs / 2 });
  const cursor = alice.cursor().replace(/^\d+/, String((Date.now() - agoMs) * 1000));
  const again = await watch('alice', { after: cursor });
  await caughtUp(again);
  expect(again.messages[0]).toMatchObject({ kind: 'behind', cursor });
  expect(again.events()).toEqual([missed]);
});

test('more events than a page has, and large ones, are all sent', async () => {
  const alice = await watch('alice');
  const ids: string[] = [];
  const client = await database.pool.connect();
  await client.query('begin');
  for (let n = 0; n < 450; n += 1) ids.push(await insert(client));
  for (let n = 0; n < 12; n += 1) ids.push(await insert(client, { data: JSON.stringify({ note: 'x'.repeat(1_000_000) }) }));
  await client.query('commit');
  client.release();
  await caughtUp(alice);
  expect(alice.events()).toEqual(ids.toSorted());
}, 60_000);

test('a cursor within a long way back leads to the rest of it', async () => {
  const alice = await watch('alice');
  await caughtUp(alice);
  const start = alice.cursor();
  const ids: string[] = [];
  for (let n = 0; n < 250; n += 1) ids.push(await insert(database.pool));
  const whole = await watch('alice', { after: start });
  await caughtUp(whole);
  const middle = whole.messages.find((message) => message.kind === 'event' && message.event.id === ids.toSorted()[200]);
  const rest = await watch('alice', { after: middle?.cursor ?? '' });
  await caughtUp(rest);
  expect(rest.events()).toEqual(expect.arrayContaining(ids.toSorted().slice(201)));
}, 60_000);

test('a watcher gets the types that it is subscribed to, by name and by pattern', async () => {
  const alice = await watch('alice', { subscriptions: ['payment.failed', 'order.*'] });
  const wanted = [await insert(database.pool), await insert(database.pool, { type: 'payment.failed' })];
  await insert(database.pool, { type: 'payment.success' });
  await insert(database.pool, { type: 'orders.created' });
  await caughtUp(alice);
  expect(alice.events().toSorted()).toEqual(wanted.toSorted());
});

test('a user has so many watchers, of deliveries and events together, and a closed one makes room', async () => {
  const open = [];
  for (let n = 0; n < MAX_PER_USER; n += 1) open.push(await watch('alice'));
  await expect(watch('alice')).rejects.toMatchObject({ reason: 'watcher_limit_reached' });
  await expect(watch('bob')).resolves.toBeDefined();
  open[0]?.watcher.close();
  await expect(watch('alice')).resolves.toBeDefined();
});

test('a user has ten watchers of events on a process at most, however many streams a user may have', async () => {
  const from = newFeed(database.pool, 100);
  for (let n = 0; n < 10; n += 1) await watch('alice', { from });
  await expect(watch('alice', { from })).rejects.toMatchObject({ reason: 'watcher_limit_reached' });
  await expect(watch('bob', { from })).resolves.toBeDefined();
});

test('PostgreSQL is asked nothing while there is no watcher', async () => {
  const asked: unknown[] = [];
  const counted = new Proxy(database.pool, {
    get(pool, name) {
      if (name !== 'query') return Reflect.get(pool, name);
      return (query: unknown) => {
        asked.push(query);
        return pool.query(query as { text: string });
      };
    },
  });
  const watched = newFeed(counted);
  expect(asked).toEqual([]);
  const alice = await watch('alice', { from: watched });
  await caughtUp(alice);
  const other = await watch('alice');
  alice.watcher.close();
  await alice.ended;
  await caughtUp(other);
  const before = asked.length;
  // Of another feed, which asks four times a second.
  await caughtUp(other);
  await caughtUp(other);
  expect(asked.length).toBe(before);
});

test('a watcher ends with `shutting_down` when the process stops', async () => {
  const alice = await watch('alice');
  await caughtUp(alice);
  await feed.drain();
  expect(await alice.ended).toMatchObject({ reason: 'shutting_down' });
  await expect(watch('alice')).rejects.toMatchObject({ reason: 'shutting_down' });
});

test('a cursor that is none, of another feed, or more than a day old is refused', async () => {
  const webhook = newId('webhook', Date.now()).slice('webhook_'.length);
  for (const cursor of ['yesterday', String(Date.now() * 1000), `${Date.now() * 1000}-${'u'.repeat(26)}`])
    expect(() => readEventCursor(cursor)).toThrow(expect.objectContaining({ reason: 'cursor_invalid' }));
  const old = `${(Date.now() - 25 * 3_600_000) * 1000}-${webhook}`;
  await expect(watch('alice', { after: old })).rejects.toMatchObject({ reason: 'cursor_invalid' });
});
