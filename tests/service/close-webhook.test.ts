// Ending what waits for a closed webhook: all of it, each counted once and announced, and no call waits for a backlog.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { findClosedWebhooks } from '../../src/persistence/queries/find-closed-webhooks.ts';
import { MAX_CANCELLED_AT_ONCE } from '../../src/persistence/queries/cancel-deliveries.ts';
import type { StatusUpdate } from '../../src/realtime/status-update.ts';
import { CloseWebhook, FIRST_BATCH } from '../../src/service/close-webhook.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

const WEBHOOK = newId('webhook', Date.now());
const OTHER = newId('webhook', Date.now());
let database: TestDatabase;
let closing: CloseWebhook;
let updates: StatusUpdate[];
let counted: number;
let isWatched: boolean;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  [updates, counted, isWatched] = [[], 0, true];
  closing = create();
  await database.pool.query('truncate webhook_endpoints, deliveries');
  await database.pool.query('update adoption set adopted_below = $1', [idFloor('delivery', Date.now() - 3_600_000)]);
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, is_active)
     select id, 'alice', 'https://example.com/', '["order.created"]', 's', 'h', false from unnest($1::text[]) as w(id)`,
    [[WEBHOOK, OTHER]],
  );
});

const create = (): CloseWebhook =>
  new CloseWebhook({
    pool: database.pool,
    isWatched: () => isWatched,
    publish: (published) => void updates.push(...published),
    onCancelled: (count) => (counted += count),
    log: silentLogger,
  });

/** Scheduled ones, or such that a process has leased on insert. */
async function addWaiting(count: number, webhookId = WEBHOOK, isScheduled = true): Promise<void> {
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at, leased_until)
     select $1 || substr(md5($3 || n::text), 1, 16), 'event_1', $3, 'alice', 'order.created',
       case when $4 then now() + interval '1 hour' end, case when not $4 then now() + interval '1 minute' end
     from generate_series(1, $2) n`,
    [idFloor('delivery', Date.now()).slice(0, 19), count, webhookId, isScheduled],
  );
}

async function waiting(): Promise<number> {
  const { rows } = await database.pool.query<{ n: number }>(
    `select count(*)::integer as n from deliveries where status in ('pending', 'retrying')`,
  );
  return rows[0]?.n ?? -1;
}

test('a caller waits for one batch, and the rest of a backlog is cancelled behind it, each counted and announced', async () => {
  await addWaiting(2 * MAX_CANCELLED_AT_ONCE + 500);
  await closing.endWaiting(WEBHOOK);
  expect(counted).toBe(FIRST_BATCH);
  await eventually(async () => (await waiting()) === 0);
  await closing.drain();
  expect(counted).toBe(2 * MAX_CANCELLED_AT_ONCE + 500);
  expect(new Set(updates.map(({ deliveryId }) => deliveryId)).size).toBe(counted);
  expect(new Set(updates.map(({ status }) => status))).toEqual(new Set(['cancelled']));
});

test('what is leased on insert is cancelled, too', async () => {
  await addWaiting(3, WEBHOOK, false);
  await closing.endWaiting(WEBHOOK);
  expect([counted, await waiting()]).toEqual([3, 0]);
});

test('two processes that end the same backlog count each delivery once', async () => {
  await addWaiting(MAX_CANCELLED_AT_ONCE + 200);
  const second = create();
  await Promise.all([closing.endWaiting(WEBHOOK), second.endWaiting(WEBHOOK)]);
  await eventually(async () => (await waiting()) === 0);
  await Promise.all([closing.drain(), second.drain()]);
  expect(counted).toBe(MAX_CANCELLED_AT_ONCE + 200);
});

test('a webhook that is active again keeps what waits for it', async () => {
  await addWaiting(2);
  await database.pool.query('update webhook_endpoints set is_active = true');
  await closing.endWaiting(WEBHOOK);
  expect([counted, await waiting()]).toEqual([0, 2]);
});

test('one delivery that was about to be sent is cancelled, counted and announced once', async () => {
  await addWaiting(1);
  const { rows } = await database.pool.query<{ id: string }>('select id from deliveries');
  const id = rows[0]?.id ?? '';
  await closing.endOne(id);
  await closing.endOne(id);
  expect(counted).toBe(1);
  expect(updates).toMatchObject([{ deliveryId: id, status: 'cancelled' }]);
});

test('without a watcher the deliveries are counted and not read', async () => {
  isWatched = false;
  await addWaiting(5);
  await closing.endWaiting(WEBHOOK);
  expect([counted, updates.length]).toEqual([5, 0]);
});

test('housekeeping finds closed webhooks by what waits for them, not by what has come to its end', async () => {
  await addWaiting(1);
  await addWaiting(1, OTHER, false);
  const request = { closedWithinMs: 60_000, max: 10 };
  expect((await findClosedWebhooks(database.pool, request)).toSorted()).toEqual([WEBHOOK, OTHER].toSorted());
  expect(await findClosedWebhooks(database.pool, { ...request, max: 1 })).toHaveLength(1);
  await closing.endWaiting(WEBHOOK);
  await closing.endWaiting(OTHER);
  expect(await findClosedWebhooks(database.pool, request)).toEqual([]);
  await addWaiting(1, newId('webhook', Date.now()));
  await database.pool.query(`update webhook_endpoints set updated_at = updated_at - interval '1 hour'`);
  expect(await findClosedWebhooks(database.pool, request)).toEqual([]);
});
