// A webhook holds a limited number of deliveries: beyond it the oldest end, and never silently.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { HeldLimit } from '../../src/maintenance/held-limit.ts';
import type { DeliveryRow } from '../../src/persistence/queries/delivery-row.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const LIMIT = 3;

let database: TestDatabase;
let announced: DeliveryRow[];
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  announced = [];
  await database.pool.query('delete from deliveries');
  await database.pool.query('delete from webhook_endpoints');
});

async function webhook(id: string, hold: number, held: number): Promise<string[]> {
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, retry_policy, previous_secrets, hold)
     values ($1, 'alice', 'https://example.org/', '["order.created"]', 's', 'hint', '{}', '[]', $2)`,
    [id, hold],
  );
  const ids = Array.from({ length: held }, (_, index) => newId('delivery', Date.now() - 60_000 + index));
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, held_at, created_at)
     select i, 'event_1', $2, 'alice', 'order.created', now(), now() - interval '1 minute' from unnest($1::text[]) i`,
    [ids, id],
  );
  return ids;
}

const heldLimit = (isLeading: () => boolean = () => true, maxHeldPerWebhook = LIMIT): HeldLimit =>
  new HeldLimit({
    pool: database.pool,
    maxHeldPerWebhook,
    isLeading,
    onTrimmed: (rows) => announced.push(...rows),
    onError: (error) => expect.unreachable(String(error)),
  });

async function heldOf(webhookId: string): Promise<string[]> {
  const { rows } = await database.pool.query<{ id: string }>(
    `select id from deliveries where webhook_id = $1 and status = 'pending' and held_at is not null order by id`,
    [webhookId],
  );
  return rows.map(({ id }) => id);
}

test('the oldest beyond the limit are cancelled with the reason, each is announced, and other webhooks keep theirs', async () => {
  const [full, other] = [await webhook('webhook_a', 1, LIMIT + 2), await webhook('webhook_b', 2, LIMIT)];
  await heldLimit().run();
  expect(await heldOf('webhook_a')).toEqual(full.slice(2));
  expect(await heldOf('webhook_b')).toEqual(other);
  expect(announced.toSorted((a, b) => (a.id < b.id ? -1 : 1))).toMatchObject(
    full.slice(0, 2).map((id) => ({ id, status: 'cancelled', cancelReason: 'held_limit' })),
  );
  await heldLimit().run();
  expect(announced).toHaveLength(2);
});

test('what waits for its turn behind a held delivery counts, and the oldest of both end first', async () => {
  await database.pool.query('delete from ordering_heads');
  const [head = '', loose = ''] = await webhook('webhook_a', 1, 2);
  const waiting = Array.from({ length: 4 }, (_, index) => newId('delivery', Date.now() - 50_000 + index));
  await database.pool.query(`update deliveries set ordering_key = 'k', sequence = 1, waits = false where id = $1`, [head]);
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, ordering_key, sequence, waits)
     select i, 'event_1', 'webhook_a', 'alice', 'order.created', 'k', n + 1, true from unnest($1::text[]) with ordinality as w(i, n)`,
    [waiting],
  );
  await database.pool.query(
    `insert into ordering_heads (webhook_id, ordering_key, last_sequence, turn_id, low_id, high_id) values ('webhook_a', 'k', 5, $1, $1, $2)`,
    [head, waiting.at(-1)],
  );
  const limit = heldLimit();
  await limit.run();
  expect(announced.map(({ id }) => id).toSorted()).toEqual([head, loose, waiting[0]]);
  expect(limit.fullest).toBe(1);
  const { rows } = await database.pool.query<{ id: string; waits: boolean; turn: boolean }>(
    `select d.id, d.waits, d.id = h.turn_id as turn from deliveries d join ordering_heads h using (webhook_id, ordering_key)
     where d.status = 'pending' order by d.id`,
  );
  // The next of the key has the turn, and the others go on waiting for it.
  expect(rows).toEqual([
    { id: waiting[1], waits: false, turn: true },
    { id: waiting[2], waits: true, turn: false },
    { id: waiting[3], waits: true, turn: false },
  ]);
});

test('more than one batch beyond the limit ends in one run', async () => {
  const ids = await webhook('webhook_a', 1, 2100);
  await heldLimit().run();
  expect(await heldOf('webhook_a')).toEqual(ids.slice(-LIMIT));
  expect(announced).toHaveLength(2100 - LIMIT);
});

test('says how much is held, how old the oldest is and how full the fullest webhook is', async () => {
  await webhook('webhook_a', 1, 2);
  await webhook('webhook_b', 3, 1);
  await webhook('webhook_c', 0, 0);
  const limit = heldLimit(() => true, 4);
  expect([limit.held, limit.oldestSeconds, limit.fullest]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  await limit.run();
  expect([limit.held, limit.fullest]).toEqual([3, 0.5]);
  expect(limit.oldestSeconds).toBeGreaterThanOrEqual(60);
  expect(limit.oldestSeconds).toBeLessThan(600);
});

test('goes through more webhooks than one page has', async () => {
  for (let number = 100; number < 205; number += 1) await webhook(`webhook_${number}`, 1, 1);
  const limit = heldLimit();
  await limit.run();
  expect(limit.held).toBe(105);
});

test('a process that does not lead ends nothing and says nothing', async () => {
  const ids = await webhook('webhook_a', 1, LIMIT + 1);
  let isLeading = true;
  const limit = heldLimit(() => isLeading, 10);
  await limit.run();
  expect(limit.held).toBe(LIMIT + 1);
  isLeading = false;
  await limit.run();
  expect(limit.held).toBeNaN();
  const other = heldLimit(() => false);
  await other.run();
  expect(await heldOf('webhook_a')).toEqual(ids);
  expect(announced).toEqual([]);
});
