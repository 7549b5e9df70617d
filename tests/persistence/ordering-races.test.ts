// The order of a key while sessions race for it: real statements side by side on a few keys, and a schedule that gives out anything.
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cancelDeliveries } from '../../src/persistence/queries/cancel-deliveries.ts';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { loadDeliveries } from '../../src/persistence/queries/load-deliveries.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { batchSettings } from '../../src/persistence/session.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, outcomeRow } from './hot-rows.ts';

const WEBHOOKS = ['webhook_00000000000000000000000001', 'webhook_00000000000000000000000002'];
const KEYS = ['a', 'b', 'c'];
const SESSIONS = 8;
const STEPS = Number(process.env['ORDERING_RACE_STEPS'] ?? 1000);
const STEPS_OF_A_ROUND = 250;

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool(database.config, () => undefined, { max: SESSIONS, settings: batchSettings });
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, ordering)
     select id, id, 'https://example.com/', '["order.created"]', 's', 'h', 'key' from unnest($1::text[]) id`,
    [WEBHOOKS],
  );
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** Of one webhook and key: requests under way, and the highest number that began. */
interface Flights {
  readonly running: Set<string>;
  highestBegun: number;
}

const flights = new Map<string, Flights>();
/** What no session has in its hands: a schedule that knows every delivery, whether it waits, has ended or not. */
const scheduled = new Map<string, string>();
const violations: string[] = [];
const pick = (below: number): number => Math.floor(Math.random() * below);

function flightsOf(chain: string): Flights {
  const found = flights.get(chain) ?? { running: new Set<string>(), highestBegun: 0 };
  flights.set(chain, found);
  return found;
}

async function publish(): Promise<void> {
  const events = Array.from({ length: 1 + pick(4) }, () =>
    eventRow({ userIds: pick(3) === 0 ? WEBHOOKS : [WEBHOOKS[pick(2)] ?? ''], orderingKey: KEYS[pick(3)] ?? null }),
  );
  const { deliveries } = await insertEvents(pool, events, null);
  for (const { deliveryId, webhookId } of [...deliveries.values()].flat()) scheduled.set(deliveryId, webhookId);
}

async function attempt(isLast: boolean): Promise<void> {
  const ids = [...scheduled.keys()];
  const some = Array.from({ length: 1 + pick(3) }, () => ids[pick(ids.length)]);
  const taken = isLast ? ids : some.filter((id) => id !== undefined && scheduled.has(id));
  const mine = new Map(taken.map((id) => [id ?? '', scheduled.get(id ?? '') ?? '']));
  for (const id of mine.keys()) scheduled.delete(id);
  const loaded = await loadDeliveries(
    pool,
    [...mine.keys()].map((deliveryId) => ({ deliveryId, token: 0 })),
  );
  const begun = loaded.filter(({ waitMs }) => waitMs === 0);
  for (const { id, webhookId, ordering } of begun) {
    const chain = flightsOf(`${webhookId} ${ordering?.key}`);
    const sequence = ordering?.sequence ?? 0;
    if (chain.running.size > 0) violations.push(`${id} began while ${[...chain.running].join()} was under way`);
    if (sequence < chain.highestBegun) violations.push(`${id}, number ${sequence}, began after number ${chain.highestBegun}`);
    chain.highestBegun = Math.max(chain.highestBegun, sequence);
    chain.running.add(id);
  }
  // The request itself: other sessions go on meanwhile.
  await database.pool.query('select pg_sleep(0.001 * $1)', [pick(4)]);
  const rows = begun.map(({ id, webhookId, ordering, attemptCount, trigger }) => {
    const fails = !isLast && pick(4) === 0;
    const failure = { status: 'retrying', httpStatus: 500, errorCode: 'http_status', delayMs: 0 } as const;
    return outcomeRow(id, { webhookId, orderingKey: ordering?.key ?? null, attemptCount, trigger, ...(fails ? failure : {}) });
  });
  for (const { id, webhookId, ordering } of begun) flightsOf(`${webhookId} ${ordering?.key}`).running.delete(id);
  if (rows.length > 0) await recordOutcomes(pool, rows);
  for (const [id, webhookId] of mine) scheduled.set(id, webhookId);
}

async function closeAndOpen(): Promise<void> {
  const webhookId = WEBHOOKS[pick(2)];
  await database.pool.query('update webhook_endpoints set is_active = false where id = $1', [webhookId]);
  await cancelDeliveries(pool, webhookId ?? '', 20, false);
  await database.pool.query('update webhook_endpoints set is_active = true where id = $1', [webhookId]);
}

/** Delivers all that is left, while nothing is under way: then no one need wait for the minute that a cancellation keeps its key. */
async function finish(): Promise<void> {
  for (;;) {
    await database.pool.query('update ordering_heads set clear_at = null where clear_at is not null');
    await database.pool.query('update deliveries set next_attempt_at = now() where next_attempt_at > now()');
    const { rows } = await database.pool.query<{ id: string; webhookId: string }>(
      `select id, webhook_id as "webhookId" from deliveries where status in ('pending', 'retrying') and next_attempt_at is not null`,
    );
    if (rows.length === 0) return;
    scheduled.clear();
    for (const { id, webhookId } of rows) scheduled.set(id, webhookId);
    await attempt(true);
  }
}

test(
  'whatever races, one delivery of a key is under way, in the order of its numbers, and none is stuck',
  { timeout: 300_000 },
  async () => {
    for (let round = 0; round < STEPS / STEPS_OF_A_ROUND; round += 1) {
      let left = STEPS_OF_A_ROUND;
      const session = async (): Promise<void> => {
        while ((left -= 1) >= 0) {
          const action = pick(1000);
          if (action < 300) await publish();
          else if (action < 995) await attempt(false);
          else await closeAndOpen();
        }
      };
      await Promise.all(Array.from({ length: SESSIONS }, session));
      await finish();
    }
    expect(violations).toEqual([]);
    const { rows: stuck } = await database.pool.query(`select id from deliveries where status in ('pending', 'retrying')`);
    expect(stuck).toEqual([]);
    const { rows: heads } = await database.pool.query('select webhook_id from ordering_heads where turn_id is not null');
    expect(heads).toEqual([]);
    const { rows: holes } = await database.pool.query(
      `select webhook_id, ordering_key from deliveries group by 1, 2 having count(*) <> max(sequence) or count(distinct sequence) <> count(*)`,
    );
    expect(holes).toEqual([]);
  },
);
