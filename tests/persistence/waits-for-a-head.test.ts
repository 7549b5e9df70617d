// Outcomes of a batch, one of which waits for the head of its key, which another session changes meanwhile.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { outcomeSettings } from '../../src/persistence/session.ts';
import { defectOf } from '../../src/persistence/known-defects.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const WEBHOOK = 'webhook_00000000000000000000000001';
const KEY = 'order_1';
/** So many that PostgreSQL uses memory again that it has freed. */
const OTHERS = 6000;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await insertWebhook(database.pool, WEBHOOK, { ordering: 'key' });
});
afterAll(() => database.drop());

// PostgreSQL 18.4 ended with a segmentation fault here when the lock was taken by the settle statement's own plan.
test('outcomes are recorded after waiting for a head that another session has changed', async () => {
  const { pool } = database;
  const outcomePool = createPool(database.config, () => undefined, { settings: outcomeSettings });
  const events = [eventRow({ orderingKey: KEY }), ...Array.from({ length: OTHERS }, () => eventRow())];
  const inserted = await insertEvents(pool, events, null);
  const deliveries = [...inserted.deliveries.values()].flat();
  const keyed = new Set(inserted.deliveries.get(events[0]?.id ?? '')?.map(({ deliveryId }) => deliveryId));
  expect(deliveries).toHaveLength(1 + OTHERS);
  const rows = deliveries.map(({ deliveryId }) =>
    outcomeRow(deliveryId, { webhookId: WEBHOOK, orderingKey: keyed.has(deliveryId) ? KEY : null }),
  );
  const other = await pool.connect();
  await other.query('begin');
  await other.query('update ordering_heads set touched_at = clock_timestamp() where ordering_key = $1', [KEY]);
  const recording = recordOutcomes(outcomePool, rows);
  await eventually(async () => {
    const waiting = await pool.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.rowCount === 1;
  });
  await other.query('commit');
  other.release();
  const { states } = await recording;
  await outcomePool.end();
  expect(states.map((state) => state?.status)).toEqual(rows.map(() => 'delivered'));
});

test.each([
  [150_012, false],
  [170_010, false],
  [180_000, true],
  [180_005, true],
  [180_006, false],
  [190_000, false],
])('a server of version %i is warned of: %s', (version, isWarnedOf) => {
  expect(defectOf(version) !== null).toBe(isWarnedOf);
});
