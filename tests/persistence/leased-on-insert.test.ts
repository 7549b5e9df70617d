// Deliveries leased on insert: in no schedule and in no index that their first try would have to enter, and yet never lost or unseen.
import type { Pool, PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { idFloor, newId, timeOfId } from '../../src/domain/ids.ts';
import { scheduleExpired } from '../../src/persistence/queries/schedule-expired.ts';
import { cancelDeliveries } from '../../src/persistence/queries/cancel-deliveries.ts';
import { MAX_ID_AGE_MS, MAX_ID_LEAD_MS, DELIVERED_AT_ONCE_MS } from '../../src/persistence/delivery-state.ts';
import { listOldTransactions } from '../../src/persistence/queries/horizon.ts';
import { insertEvents, type InsertedDelivery } from '../../src/persistence/queries/insert-events.ts';
import { listChanges, readChangesPage, readHorizon } from '../../src/persistence/queries/list-changes.ts';
import { listDeliveries } from '../../src/persistence/queries/list-deliveries.ts';
import { loadDeliveries } from '../../src/persistence/queries/load-deliveries.ts';
import { recordOutcomes, type OutcomeRow } from '../../src/persistence/queries/record-outcomes.ts';
import { releaseLeases } from '../../src/persistence/queries/release-leases.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const LEASE_MS = 45_000;
const WEBHOOK = 'webhook_00000000000000000000000001';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool.query('truncate webhook_endpoints, deliveries, events, attempts');
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
  await insertWebhook(pool, WEBHOOK, { userId: 'alice' });
});

/** Publishes as a process that sends what it commits. `ageMs`: how long before now the event's id was made. */
async function publish(count = 1, ageMs = 0, client: Pool | PoolClient = pool): Promise<InsertedDelivery[]> {
  const events = Array.from({ length: count }, () => eventRow({ id: newId('event', Date.now() - ageMs), userIds: ['alice'] }));
  const lease = { leaseMs: LEASE_MS, holder: 17, events: events.map(() => true), fullWebhookIds: [], fullUserIds: [] };
  const { deliveries } = await insertEvents(client as Pool, events, lease);
  return [...deliveries.values()].flat();
}

function outcome(deliveryId: string, differing: Partial<OutcomeRow> = {}): OutcomeRow {
  const response = 'a receiver says in so many words that it has taken the order and thanks for it';
  return outcomeRow(deliveryId, { webhookId: WEBHOOK, response, ...differing });
}

const failedOnce = { status: 'retrying', delayMs: 60_000, httpStatus: 500, errorCode: 'http_status' } as const;

/** Makes it as old as one whose process died `ageMs` ago holding it. */
async function age(deliveryId: string, ageMs: number): Promise<string> {
  const id = idFloor('delivery', timeOfId(deliveryId) - ageMs).slice(0, 19) + deliveryId.slice(19);
  await pool.query(
    `update deliveries set id = $2, created_at = created_at - $3::float8 * interval '1 millisecond',
       leased_until = leased_until - $3::float8 * interval '1 millisecond' where id = $1`,
    [deliveryId, id, ageMs],
  );
  return id;
}

async function scheduled(): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>('select id from deliveries where next_attempt_at is not null order by id');
  return rows.map(({ id }) => id);
}

test('a first try that succeeds at once is written beside its row, with no entry into any index', async () => {
  const published = await publish(100);
  const client = await pool.connect();
  try {
    await client.query('begin');
    await recordOutcomes(
      client,
      published.map(({ deliveryId }) => outcome(deliveryId)),
    );
    const { rows } = await client.query<{ written: string; beside: string }>(
      `select sum(n_tup_upd) as written, sum(n_tup_hot_upd) as beside from pg_stat_xact_user_tables where relname like 'deliveries_%'`,
    );
    expect(Number(rows[0]?.written)).toBe(100);
    expect(Number(rows[0]?.beside)).toBeGreaterThanOrEqual(95);
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test.each([
  ['older than a commit may wait', MAX_ID_AGE_MS + 100],
  ['ahead of the database’s clock', -MAX_ID_LEAD_MS - 2000],
])('nothing is leased of a commit with an event whose id is %s', async (_name, ageMs) => {
  const [delivery] = await publish(1, ageMs);
  expect(delivery?.isLeased).toBe(false);
  expect(await scheduled()).toEqual([delivery?.deliveryId]);
});

test('its holder may try it at once, and no other process before the lease is over', async () => {
  const [{ deliveryId } = { deliveryId: '' }] = await publish();
  const { rows } = await pool.query<{ token: number }>(
    `select extract(epoch from date_trunc('milliseconds', leased_until))::float8 * 1000 as token from deliveries`,
  );
  const token = rows[0]?.token ?? 0;
  expect((await loadDeliveries(pool, [{ deliveryId, token }]))[0]?.waitMs).toBe(0);
  expect((await loadDeliveries(pool, [{ deliveryId, token: token + 1000 }]))[0]?.waitMs).toBeGreaterThan(LEASE_MS - 5000);
});

test('one that is handed back untried is scheduled', async () => {
  const [{ deliveryId } = { deliveryId: '' }] = await publish();
  const { rows } = await pool.query<{ token: number }>(
    `select extract(epoch from date_trunc('milliseconds', leased_until))::float8 * 1000 as token from deliveries`,
  );
  await releaseLeases(pool, [{ deliveryId, leasedUntilMs: rows[0]?.token ?? 0, dueAtMs: 0 }]);
  expect(await scheduled()).toEqual([deliveryId]);
});

test('of a process that died, what it leased and did not finish is scheduled once no lease is left, and nothing else', async () => {
  const published = await publish(4);
  const [stranded, done, waiting, young] = published.map(({ deliveryId }) => deliveryId) as [string, string, string, string];
  await recordOutcomes(pool, [outcome(done), outcome(waiting, failedOnce)]);
  const old = await age(stranded, LEASE_MS + MAX_ID_AGE_MS + 1000);
  const oldWaiting = await age(waiting, LEASE_MS + MAX_ID_AGE_MS + 1000);
  await age(done, LEASE_MS + MAX_ID_AGE_MS + 1000);
  const before = await pool.query('select id, next_attempt_at from deliveries where id = $1', [oldWaiting]);
  const expired = await scheduleExpired(pool, { leaseMs: LEASE_MS, max: 100 });
  expect(expired.deliveries.map(({ deliveryId }) => deliveryId)).toEqual([old]);
  expect(expired.isMore).toBe(false);
  expect(await scheduled()).toEqual([old, oldWaiting].toSorted());
  expect((await pool.query('select id, next_attempt_at from deliveries where id = $1', [oldWaiting])).rows).toEqual(
    before.rows,
  );
  // Where it has looked it does not look again; what is young has its turn later.
  expect((await scheduleExpired(pool, { leaseMs: LEASE_MS, max: 100 })).deliveries).toEqual([]);
  const grown = await age(young, LEASE_MS + MAX_ID_AGE_MS);
  await pool.query(`update adoption set adopted_below = $1`, [grown]);
  expect((await scheduleExpired(pool, { leaseMs: -1000, max: 100 })).deliveries).toHaveLength(1);
});

test('many are looked at part by part', async () => {
  for (const { deliveryId } of await publish(5)) await age(deliveryId, 600_000);
  const parts = [];
  for (let isMore = true; isMore;) {
    const part = await scheduleExpired(pool, { leaseMs: LEASE_MS, max: 2 });
    parts.push(part.deliveries.length);
    ({ isMore } = part);
  }
  expect(parts).toEqual([2, 2, 1]);
});

test('what a transaction has written that is still open is not passed over', async () => {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const { rows } = await client.query<{ now: Date }>('select now()');
    const [delivery] = await publish(1, 0, client);
    // As if an hour had passed: but for the open transaction all of it would be behind.
    await scheduleExpired(pool, { leaseMs: -3_600_000, max: 100 });
    const place = await pool.query<{ adopted_below: string }>('select adopted_below from adoption');
    expect(timeOfId(place.rows[0]?.adopted_below ?? '')).toBeLessThanOrEqual((rows[0]?.now.getTime() ?? 0) - MAX_ID_AGE_MS);
    expect(place.rows[0]?.adopted_below ?? '').toSatisfy((below: string) => below < (delivery?.deliveryId ?? ''));
  } finally {
    await client.query('rollback');
    client.release();
  }
});

test('what is leased on insert is pending for its owner to see, and is cancelled with its webhook', async () => {
  const [delivery] = await publish();
  const filter = {
    userId: 'alice',
    webhookIds: [],
    httpStatus: null,
    errorCode: null,
    statuses: ['pending'],
    eventType: null,
    eventId: null,
    fromId: null,
    belowId: null,
    along: 'webhooks' as const,
  } as const;
  const page = await listDeliveries(pool, filter, { limit: 10, offset: 0, order: 'desc' });
  expect(page.map(({ id }) => id)).toEqual([delivery?.deliveryId]);
  await pool.query('update webhook_endpoints set is_active = false');
  expect(await cancelDeliveries(pool, WEBHOOK, 100, false)).toEqual({ count: 1, rows: [] });
  const { rows } = await pool.query('select status, leased_until, lease_expirations from deliveries');
  expect(rows).toEqual([{ status: 'cancelled', leased_until: null, lease_expirations: 0 }]);
});

test('a session that an operator left open delays no expired lease', async () => {
  const [delivery] = await publish();
  const id = await age(delivery?.deliveryId ?? '', 10 * 60_000);
  const operator = await pool.connect();
  try {
    await operator.query('begin');
    await operator.query('select 1');
    const { deliveries } = await scheduleExpired(pool, { leaseMs: 0, max: 10 });
    expect(deliveries.map(({ deliveryId }) => deliveryId)).toEqual([id]);
    expect(await readHorizon(pool).then(({ ageMs }) => ageMs)).toBeLessThan(100);
    const { rows } = await operator.query<{ pid: number }>('select pg_backend_pid() as pid');
    expect(await listOldTransactions(pool, 0)).toMatchObject([{ pid: rows[0]?.pid, state: 'idle in transaction' }]);
  } finally {
    operator.release(true);
  }
});

test('a row that another session has locked keeps no other from being scheduled, and is scheduled when it is free', async () => {
  const ids: string[] = [];
  for (const minutes of [30, 20, 10]) {
    const [delivery] = await publish();
    ids.push(await age(delivery?.deliveryId ?? '', minutes * 60_000));
  }
  const operator = await pool.connect();
  const adopt = async (): Promise<string[]> =>
    (await scheduleExpired(pool, { leaseMs: 0, max: 10 })).deliveries.map(({ deliveryId }) => deliveryId);
  try {
    await operator.query('begin');
    await operator.query('select 1 from deliveries where id = $1 for update', [ids[1]]);
    expect(await adopt()).toEqual([ids[0], ids[2]]);
    expect(await adopt()).toEqual([]);
    await operator.query('rollback');
    expect(await adopt()).toEqual([ids[1]]);
  } finally {
    operator.release(true);
  }
});

test('a row that another session has locked keeps no other lease from being given back', async () => {
  const [locked, other] = (await publish(2)).map(({ deliveryId }) => deliveryId);
  const leases = await pool.query<{ id: string; ms: number }>(
    `select id, (extract(epoch from date_trunc('milliseconds', leased_until)) * 1000)::float8 as ms from deliveries`,
  );
  const operator = await pool.connect();
  try {
    await operator.query('begin');
    await operator.query('select 1 from deliveries where id = $1 for update', [locked]);
    await releaseLeases(
      pool,
      leases.rows.map(({ id, ms }) => ({ deliveryId: id, leasedUntilMs: ms, dueAtMs: null })),
    );
    const { rows } = await pool.query('select id from deliveries where leased_until is null and next_attempt_at is not null');
    expect(rows).toEqual([{ id: other }]);
  } finally {
    operator.release(true);
  }
});

test('every change is found in its order, page by page, whether an index has it or not', async () => {
  const published = await publish(60);
  const changed: string[] = [];
  for (const [n, { deliveryId }] of published.entries()) {
    // Every third fails first; every fifth is written too late to count as a first try soon after the insert.
    if (n % 5 === 0)
      await pool.query(
        `update deliveries set created_at = created_at - interval '${DELIVERED_AT_ONCE_MS} milliseconds' where id = $1`,
        [deliveryId],
      );
    await recordOutcomes(pool, [outcome(deliveryId, n % 3 === 0 ? failedOnce : {})]);
    changed.push(deliveryId);
  }
  await publish(5);
  const indexed = await pool.query<{ n: number }>('select count(changed_at)::integer as n from deliveries');
  expect(indexed.rows[0]?.n).toBe(published.filter((_, n) => n % 3 === 0 || n % 5 === 0).length);

  const sinceMicros = (Date.now() - 60_000) * 1000;
  const listed = await listChanges(pool, { micros: sinceMicros, userIds: null, max: 1000 });
  expect(listed.map(({ id }) => id)).toEqual(changed);
  expect(await listChanges(pool, { micros: sinceMicros, userIds: ['mallory'], max: 1000 })).toEqual([]);

  for (const max of [1, 7, 1000]) {
    for (const untilMicros of [null, listed[40]?.micros ?? 0]) {
      const seen: string[] = [];
      let next: { micros: number; id: string } | null = { micros: sinceMicros, id: '' };
      let pages = 0;
      while (next !== null) {
        const page: Awaited<ReturnType<typeof readChangesPage>> = await readChangesPage(pool, {
          from: next,
          untilMicros,
          userId: null,
          max,
        });
        seen.push(...page.rows.map(({ id }) => id));
        expect(page.rows.length).toBeLessThanOrEqual(max);
        next = page.next;
        pages += 1;
        expect(pages).toBeLessThan(1000);
      }
      expect(seen).toEqual(untilMicros === null ? changed : changed.slice(0, 40));
    }
  }
});

test('first tries that succeed at once share a reply without a watcher; every other outcome has its own', async () => {
  const published = await publish(6);
  const [quick, fenced, retried, late, failing, alsoQuick] = published.map(({ deliveryId }) => deliveryId) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  await recordOutcomes(pool, [outcome(fenced)]);
  await pool.query(
    `update deliveries set created_at = created_at - interval '${DELIVERED_AT_ONCE_MS} milliseconds' where id = $1`,
    [late],
  );
  const rows = [
    outcome(quick),
    outcome(fenced),
    outcome(retried, failedOnce),
    outcome(late),
    outcome(failing, { status: 'failed', httpStatus: 500, errorCode: 'http_status' }),
    outcome(alsoQuick),
  ];
  const { states, failing: webhooks } = await recordOutcomes(pool, rows, false);
  expect(states.map((state) => state?.status)).toEqual([
    'delivered',
    undefined,
    'retrying',
    'delivered',
    'failed',
    'delivered',
  ]);
  expect(states[0]).toBe(states[5]);
  expect(states[0]).toMatchObject({ nextAttemptAtMs: null, failedAtMs: null });
  expect(states[2]?.nextAttemptAtMs).toBeGreaterThan(states[2]?.updatedAtMs ?? Number.NaN);
  const stored = await pool.query<{ ms: number }>(
    'select extract(epoch from max(updated_at))::float8 * 1000 as ms from deliveries where id = any ($1)',
    [[quick, alsoQuick]],
  );
  expect(states[0]?.updatedAtMs).toBeCloseTo(stored.rows[0]?.ms ?? 0, 2);
  expect(webhooks).toEqual([]);
});
