// What the schedule in PostgreSQL promises beyond the model: fairness, fencing, and a walk that leaves no webhook out.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { MAX_LOOK } from '../../src/persistence/queries/claim-due.ts';
import { PostgresScheduler } from '../../src/schedule/postgres-scheduler.ts';
import type { ClaimRequest } from '../../src/schedule/scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { generateRows, insertRows, newDue, newWebhookId } from './rows.ts';

const everything: ClaimRequest = { max: 100, perWebhook: 100, room: new Map() };
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(() => database.pool.query('truncate deliveries'));

const createScheduler = (leaseMs = 60_000): PostgresScheduler => new PostgresScheduler(database.pool, { leaseMs });

test('a webhook with 100,000 due deliveries does not delay another', { timeout: 90_000 }, async () => {
  const webhooks = [newWebhookId(), newWebhookId(), newWebhookId()].toSorted();
  const [first = '', busy = '', last = ''] = webhooks;
  await generateRows(database.pool, busy, 100_000, -60_000);
  await insertRows(database.pool, [newDue(first, Date.now() - 1), newDue(last, Date.now() - 1)]);
  const { leased } = await createScheduler().claim({ max: 100, perWebhook: 16, room: new Map() });
  const counts = webhooks.map((webhookId) => leased.filter((lease) => lease.webhookId === webhookId).length);
  expect(counts).toEqual([1, 16, 1]);
});

test('what a webhook may have beyond the usual is taken from what the others leave', async () => {
  const webhooks = Array.from({ length: 3 }, newWebhookId).toSorted();
  const [busy = '', other = '', usual = ''] = webhooks;
  for (const [webhookId, count] of [
    [busy, 300],
    [other, 300],
    [usual, 40],
  ] as const) {
    await generateRows(database.pool, webhookId, count, -60_000);
  }
  const scheduler = createScheduler();
  const counts = async (max: number, room: ReadonlyMap<string, number>): Promise<number[]> => {
    const { leased } = await scheduler.claim({ max, perWebhook: 16, room });
    expect(new Set(leased.map((lease) => lease.deliveryId)).size).toBe(leased.length);
    return webhooks.map((webhookId) => leased.filter((lease) => lease.webhookId === webhookId).length);
  };
  expect(
    await counts(
      100,
      new Map([
        [busy, 200],
        [other, 20],
      ]),
    ),
  ).toEqual([42, 20, 16]);
  expect(
    await counts(
      500,
      new Map([
        [busy, 50],
        [usual, 0],
      ]),
    ),
  ).toEqual([50, 16, 0]);
  // Nothing is left for it when the usual of all fills the claim.
  expect(await counts(40, new Map([[busy, 200]]))).toEqual([16, 16, 8]);
});

test('webhooks take turns over claims that are too small for all of them', async () => {
  const webhooks = Array.from({ length: 10 }, newWebhookId);
  for (const webhookId of webhooks) await generateRows(database.pool, webhookId, 20, -1000);
  const scheduler = createScheduler();
  for (let turn = 0; turn < 3; turn += 1) {
    const served: string[] = [];
    for (let claim = 0; claim < 4; claim += 1) {
      const { leased } = await scheduler.claim({ max: 5, perWebhook: 2, room: new Map() });
      served.push(...leased.map((lease) => lease.webhookId));
    }
    expect(new Set(served).size).toBe(10);
  }
});

test('what is due is all seen at once while it is little, and nothing is due then', async () => {
  await insertRows(
    database.pool,
    Array.from({ length: 1200 }, () => newDue(newWebhookId(), Date.now() + 600_000)),
  );
  const due = [newDue(newWebhookId(), Date.now() - 1), newDue(newWebhookId(), Date.now() - 1)];
  await insertRows(database.pool, due);
  const scheduler = createScheduler();
  expect((await scheduler.claim(everything)).leased.map((lease) => lease.deliveryId).toSorted()).toEqual(
    due.map((item) => item.deliveryId).toSorted(),
  );
  expect(await scheduler.claim(everything)).toMatchObject({ leased: [], nextDueInMs: 250 });
});

test('while the index by time is not whole, the walk finds what is due', async () => {
  await database.pool.query('drop index deliveries_next_attempt');
  await database.pool.query(
    'create index deliveries_next_attempt on only deliveries (next_attempt_at) where next_attempt_at is not null',
  );
  try {
    const item = newDue(newWebhookId(), Date.now() - 1);
    await insertRows(database.pool, [item]);
    const { leased } = await createScheduler().claim(everything);
    expect(leased.map((lease) => lease.deliveryId)).toEqual([item.deliveryId]);
  } finally {
    await database.pool.query('drop index deliveries_next_attempt');
    await database.pool.query(
      'create index deliveries_next_attempt on deliveries (next_attempt_at) where next_attempt_at is not null',
    );
  }
});

test('a walk past more webhooks than one claim looks at reaches the last, and begins anew', async () => {
  const items = Array.from({ length: 1200 }, () => newDue(newWebhookId(), Date.now() + 600_000)).toSorted((a, b) =>
    a.webhookId < b.webhookId ? -1 : 1,
  );
  await insertRows(database.pool, items);
  // A backlog of a webhook that may not be claimed: what else is due is found by walking.
  const busy = newWebhookId();
  await generateRows(database.pool, busy, MAX_LOOK, -60_000);
  const others: ClaimRequest = { ...everything, room: new Map([[busy, 0]]) };
  const scheduler = createScheduler();
  const due = [items[0], items[700], items[1199]].map((item) => newDue(item?.webhookId ?? '', Date.now() - 1));
  const taken: string[] = [];
  for (let walk = 0; walk < 2; walk += 1) {
    const added = due.map((item) => newDue(item.webhookId, Date.now() - 1));
    await insertRows(database.pool, added);
    for (let calls = 0; calls < 4; calls += 1) {
      taken.push(...(await scheduler.claim(others)).leased.map((lease) => lease.deliveryId));
    }
    expect(taken.splice(0).toSorted()).toEqual(added.map((item) => item.deliveryId).toSorted());
  }
});

test('a holder whose lease has run out can neither end nor put off the delivery', async () => {
  const [stalled, successor] = [createScheduler(1), createScheduler()];
  const item = newDue(newWebhookId(), Date.now() - 1);
  await insertRows(database.pool, [item]);
  const [old] = (await stalled.claim(everything)).leased;
  const [present] = await eventually(async () => {
    const { leased } = await successor.claim(everything);
    return leased.length > 0 && leased;
  });
  if (old === undefined || present === undefined) throw new Error('nothing was leased');
  expect(present.expirations).toBe(1);
  await stalled.release([{ ...old, dueAtMs: null }]);
  await stalled.release([{ ...old, dueAtMs: Date.now() + 60_000 }]);
  expect((await successor.claim(everything)).leased).toEqual([]);
  await successor.release([{ ...present, dueAtMs: Date.now() - 1 }]);
  expect((await successor.claim(everything)).leased).toHaveLength(1);
});

test('processes that claim at once never get the same delivery', async () => {
  const webhooks = Array.from({ length: 5 }, newWebhookId);
  for (const webhookId of webhooks) await generateRows(database.pool, webhookId, 80, -1000);
  const processes = Array.from({ length: 4 }, () => createScheduler());
  const taken: string[] = [];
  await eventually(async () => {
    const claims = await Promise.all(processes.map((process) => process.claim({ max: 20, perWebhook: 7, room: new Map() })));
    taken.push(...claims.flatMap((claim) => claim.leased.map((lease) => lease.deliveryId)));
    return claims.every((claim) => claim.leased.length === 0) && taken.length >= 400;
  });
  expect(taken).toHaveLength(400);
  expect(new Set(taken).size).toBe(400);
});
