// Webhooks whose receivers are away in the schedule of PostgreSQL: they stand at their next probe, and cost a claim nothing before.
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { claimDue, FIRST_TURN } from '../../src/persistence/queries/claim-due.ts';
import { MAX_PUT_OFF } from '../../src/persistence/queries/put-off.ts';
import { AwayWebhooks, MAX_PROBES_PER_CLAIM } from '../../src/schedule/away-webhooks.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import type { ClaimRequest, Leased, Settlement } from '../../src/schedule/scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { generateRows, insertRows, newDue, newWebhookId } from './rows.ts';

const CLAIM: ClaimRequest = { max: 100, perWebhook: 16, room: new Map() };
const PAUSE_MS = 600_000;
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(() => database.pool.query('truncate deliveries'));

const createScheduler = (): PostgresScheduler => new PostgresScheduler(database.pool, { leaseMs: 60_000, putsOff: true });
/** What the recorder reports of a delivery whose receiver was away, and whose retry is due. */
const away = (webhookId: string, untilMs: number): Settlement => ({
  ...newDue(webhookId, Date.now()),
  leasedIn: 'row',
  token: 1,
  leftAloneUntilMs: untilMs,
});
const webhooksOf = (leased: readonly Leased[]): string[] => leased.map(({ webhookId }) => webhookId);
async function dueTimes(webhookId: string): Promise<number[]> {
  const { rows } = await database.pool.query<{ ms: number }>(
    `select (extract(epoch from next_attempt_at) * 1000)::float8 as ms from deliveries where webhook_id = $1 order by 1`,
    [webhookId],
  );
  return rows.map(({ ms }) => ms);
}

test('what is due for a receiver that was found away is due with its next probe, and what is due later stays so', async () => {
  const [dead, healthy] = [newWebhookId(), newWebhookId()];
  const untilMs = Date.now() + PAUSE_MS;
  await insertRows(database.pool, [
    newDue(dead, Date.now() - 5000),
    newDue(dead, Date.now() + 1000),
    newDue(dead, untilMs + 1000),
    newDue(healthy, Date.now() - 1),
  ]);
  const scheduler = createScheduler();
  await scheduler.settle([away(dead, untilMs)]);
  expect(webhooksOf((await scheduler.claim(CLAIM)).leased)).toEqual([healthy]);
  expect(await dueTimes(dead)).toEqual([untilMs, untilMs, untilMs + 1000]);
});

test('a delivery that a process has leased is left to it', async () => {
  const dead = newWebhookId();
  await insertRows(database.pool, [newDue(dead, Date.now() - 1000)]);
  const scheduler = createScheduler();
  const { leased } = await scheduler.claim(CLAIM);
  const before = await dueTimes(dead);
  await scheduler.settle([away(dead, Date.now() + PAUSE_MS)]);
  expect(await dueTimes(dead)).toEqual(before);
  expect(leased).toHaveLength(1);
});

test('what is given back, because its receiver is away, is due with the next probe', async () => {
  const dead = newWebhookId();
  await insertRows(database.pool, [newDue(dead, Date.now() - 1000)]);
  const scheduler = createScheduler();
  const [lease] = (await scheduler.claim(CLAIM)).leased;
  if (lease === undefined) throw new Error('nothing was leased');
  const untilMs = Date.now() + PAUSE_MS;
  await scheduler.settle([away(dead, untilMs)]);
  await scheduler.release([{ ...lease, dueAtMs: Date.now() + 1000, leftAloneUntilMs: Date.now() + 1000 }]);
  expect(await dueTimes(dead)).toEqual([untilMs]);
});

test('thousands of webhooks whose receivers are away cost a claim no step', async () => {
  const dead = Array.from({ length: 3000 }, newWebhookId);
  await insertRows(
    database.pool,
    dead.map((webhookId) => newDue(webhookId, Date.now() - 60_000)),
  );
  const healthy = newDue(newWebhookId(), Date.now() - 1);
  await insertRows(database.pool, [healthy]);
  const scheduler = createScheduler();
  const untilMs = Date.now() + PAUSE_MS;
  await scheduler.settle(dead.map((webhookId) => away(webhookId, untilMs)));
  const { claimed, steps, isWhole } = await claimDue(database.pool, {
    ...CLAIM,
    leaseMs: 60_000,
    after: FIRST_TURN,
    maxWebhooks: 500,
    dueWithinMs: null,
  });
  expect(claimed.map(({ deliveryId }) => deliveryId)).toEqual([healthy.deliveryId]);
  // All that is due was seen at once, without a walk.
  expect({ steps, isWhole }).toEqual({ steps: 0, isWhole: true });
});

test('a failed probe writes no more rows than one statement may', async () => {
  const dead = newWebhookId();
  await generateRows(database.pool, dead, MAX_PUT_OFF + 200, -60_000);
  await createScheduler().settle([away(dead, Date.now() + PAUSE_MS)]);
  expect((await dueTimes(dead)).filter((ms) => ms > Date.now())).toHaveLength(MAX_PUT_OFF);
});

test('of each receiver that is away one delivery is claimed as a probe, and those of a claim leave room for others', async () => {
  const dead = Array.from({ length: 2 * MAX_PROBES_PER_CLAIM }, newWebhookId);
  await insertRows(
    database.pool,
    dead.flatMap((webhookId) => [newDue(webhookId, Date.now() - 60_000), newDue(webhookId, Date.now() - 60_000)]),
  );
  // It puts off five seconds ago, so that all probes are due.
  let nowMs = Date.now() - 5000;
  const scheduler = new PostgresScheduler(database.pool, { leaseMs: 60_000, putsOff: true, now: () => nowMs });
  await scheduler.settle(dead.map((webhookId) => away(webhookId, nowMs + 1)));
  nowMs = Date.now();
  const healthy = newDue(newWebhookId(), Date.now() - 1);
  await insertRows(database.pool, [healthy]);
  const { leased } = await scheduler.claim({ ...CLAIM, max: 500 });
  const probes = leased.filter(({ isProbe }) => isProbe === true);
  expect(probes).toHaveLength(MAX_PROBES_PER_CLAIM);
  expect(new Set(webhooksOf(probes)).size).toBe(MAX_PROBES_PER_CLAIM);
  expect(leased.filter(({ isProbe }) => isProbe !== true).map(({ deliveryId }) => deliveryId)).toEqual([healthy.deliveryId]);
});

test('a process that starts probes the webhooks that have failed before, and does not try all that waits for them', async () => {
  const failing = Array.from({ length: 20 }, newWebhookId);
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, consecutive_failures)
     select id, 'user', 'https://example.com/', '["order.created"]', 's', 'h', 5 from unnest($1::text[]) id`,
    [failing],
  );
  await insertRows(
    database.pool,
    failing.flatMap((webhookId) => Array.from({ length: 3 }, () => newDue(webhookId, Date.now() - 60_000))),
  );
  const scheduler = createScheduler();
  await scheduler.start();
  const probed: Leased[] = [];
  try {
    await eventually(async () => {
      // The lanes of what was taken are closed until the outcome is known.
      const roomOfSuspects = (): Map<string, number> => new Map(webhooksOf(probed).map((webhookId) => [webhookId, 0]));
      probed.push(...(await scheduler.claim({ ...CLAIM, roomOfSuspects })).leased);
      return new Set(webhooksOf(probed)).size === failing.length;
    });
  } finally {
    await scheduler.drain();
  }
  expect(probed.filter(({ isProbe }) => isProbe !== true)).toEqual([]);
  expect(probed).toHaveLength(failing.length);
});

test('beside Redis, which may have leased them, no rows are put off', async () => {
  const dead = newWebhookId();
  await insertRows(database.pool, [newDue(dead, Date.now() - 1000)]);
  const scheduler = new PostgresScheduler(database.pool, { leaseMs: 60_000 });
  await scheduler.settle([away(dead, Date.now() + PAUSE_MS)]);
  expect(webhooksOf((await scheduler.claim(CLAIM)).leased)).toEqual([dead]);
});

test('the more receivers are away, the longer each waits for its probe', () => {
  const webhooks = new AwayWebhooks();
  const asked = 10_000;
  expect(webhooks.putOff('webhook_0', asked, 0)).toBe(asked);
  for (let n = 1; n < 20_000; n += 1) webhooks.putOff(`webhook_${n}`, asked, 0);
  expect(webhooks.putOff('webhook_0', asked, 0)).toBe(99_995);
  expect(webhooks.isPutOff('webhook_0', 99_994)).toBe(true);
  expect(webhooks.isPutOff('webhook_0', 99_995)).toBe(false);
  // Those whose pause is over do not make others wait.
  expect(webhooks.putOff('webhook_1', 300_000, 200_000)).toBe(300_000);
});

test('what waits for failing webhooks and cannot be put off at the start is reported, and claims are made all the same', async () => {
  const reported: unknown[] = [];
  const error = new Error('the database is away');
  const pool: Pick<Pool, 'query'> = {
    query: (async (statement: { name: string }) => {
      if (statement.name === 'list-failing') throw error;
      return database.pool.query(statement as never);
    }) as Pool['query'],
  };
  const onError = (_: string, cause: unknown): void => void reported.push(cause);
  const scheduler = new PostgresScheduler(pool as Pool, { leaseMs: 60_000, putsOff: true, onError });
  const webhookId = newWebhookId();
  await insertRows(database.pool, [newDue(webhookId, Date.now() - 1000)]);
  await scheduler.start();
  expect(webhooksOf((await scheduler.claim(CLAIM)).leased)).toEqual([webhookId]);
  expect(reported).toEqual([error]);
});
