// Two statements write a first attempt that succeeded, by what else is in its batch. They write the same.
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { isFirstSuccess } from '../../src/persistence/queries/record-first-successes.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const WEBHOOK = 'webhook_00000000000000000000000001';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await pool.query('truncate webhook_endpoints');
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now() - interval '1 hour')`);
  await insertWebhook(pool, WEBHOOK);
});

/** What may have happened to a delivery since it was taken for its first attempt: assignments to its row, or a whole statement. */
const states: Readonly<Record<string, { readonly row?: string; readonly statement?: string }>> = {
  'it is as it was inserted': {},
  'it was scheduled': { row: 'next_attempt_at = now(), leased_until = null' },
  'it was cancelled': { row: `status = 'cancelled', cancelled_at = now(), cancel_reason = 'caller', changed_at = now()` },
  'it was held': { row: 'held_at = now(), leased_until = null, changed_at = now()' },
  'its owner asked for an attempt': {
    row: `status = 'retrying', next_trigger = 'manual', next_attempt_at = now(), changed_at = now()`,
  },
  'it was given up by another': {
    row: `status = 'failed', failed_at = now(), error_code = 'timeout', error_message = 'no answer'`,
  },
  'its lease ran out once': { row: 'lease_expirations = 1' },
  'a release had made it due': { row: 'release_no = 7, next_attempt_at = now()' },
  'it was inserted ten seconds ago': { row: `created_at = now() - interval '10 seconds'` },
  'its day is being summed up': {
    statement: `update summing set closing_below = id_floor('delivery', now() + interval '1 day')`,
  },
  'its webhook was failing': { statement: `update webhook_endpoints set consecutive_failures = 3, failing_since = now()` },
  'another process has recorded this attempt': { row: 'attempt_count = 1' },
  'another process has delivered it': { row: `status = 'delivered', attempt_count = 1, delivered_at = now()` },
};

test.each(Object.entries(states))('of a first success, whatever is in its batch, when %s', async (_, state) => {
  const alone = await record(state, true);
  const beside = await record(state, false);
  expect(alone).toEqual(beside);
});

/** @returns all that was written and said, with moments as whether there is one */
async function record({ row, statement }: { readonly row?: string; readonly statement?: string }, isAlone: boolean) {
  await pool.query('truncate deliveries, events, attempts, late_changes, release_notes');
  await pool.query(`update summing set closing_below = ''`);
  const event = eventRow();
  const lease = { leaseMs: 45_000, holder: 17, events: [true], fullWebhookIds: [], fullUserIds: [] };
  const { deliveries } = await insertEvents(pool, [event], lease);
  const deliveryId = deliveries.get(event.id)?.[0]?.deliveryId ?? '';
  if (row !== undefined) await pool.query(`update deliveries set ${row} where id = $1`, [deliveryId]);
  if (statement !== undefined) await pool.query(statement);
  const success = outcomeRow(deliveryId, { webhookId: WEBHOOK, startedAtMs: Date.UTC(2026, 0, 1), durationMs: 12.4 });
  // A failure of a delivery that retention has dropped: it writes nothing, and asks for the statement for all kinds.
  const failure = outcomeRow('delivery_of_another', { status: 'retrying', delayMs: 1000, errorCode: 'timeout' });
  const outcomes = isAlone ? [success] : [success, failure];
  expect(outcomes.every(isFirstSuccess)).toBe(isAlone);
  const told = [];
  for (const returnsEachTime of [true, false]) {
    const client = await pool.connect();
    try {
      await client.query('begin');
      const { states: after, failing } = await recordOutcomes(client, outcomes, returnsEachTime);
      const { rows } = await client.query(`select * from deliveries`);
      const { rows: changes } = await client.query('select * from late_changes');
      const { rows: notes } = await client.query('select * from release_notes');
      const { rows: health } = await client.query('select consecutive_failures, failing_since from webhook_endpoints');
      const { rows: attempts } = await client.query('select * from attempts');
      told.push(shapeOf({ state: after[0], failing, rows, changes, notes, health, attempts }));
    } finally {
      await client.query('rollback');
      client.release();
    }
  }
  return told;
}

/** Ids are those of each run, and so are moments: that there is one is what counts. */
function shapeOf(written: unknown): unknown {
  const text = JSON.stringify(written, (key, value: unknown) => {
    if (key === 'attempted_at') return value;
    if (typeof value !== 'string' && typeof value !== 'number') return value;
    return /(_at|_until|_since|AtMs)$/.test(key) ? 'a moment' : /^(id|event_id|delivery_id|no)$/.test(key) ? 'an id' : value;
  });
  return JSON.parse(text);
}
