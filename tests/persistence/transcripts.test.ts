// What went over the connection stands in the row of an attempt: where there is one, and nowhere else.
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, insertWebhook, outcomeRow } from './hot-rows.ts';

const WEBHOOK = 'webhook_00000000000000000000000001';
const transcript = {
  requestHeaders: 'host: a.example\ncontent-length: 2',
  responseHeaders: 'x-note: {"a", \\ and "b"}',
  remoteAddress: '192.88.99.1',
  tlsVersion: 'TLSv1.3',
};
const failed = { status: 'failed', httpStatus: 500, errorCode: 'http_status', errorMessage: 'no' } as const;

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
  await insertWebhook(pool, WEBHOOK, { userId: 'alice' });
});
afterAll(() => database.drop());

async function publish(count: number): Promise<string[]> {
  const events = Array.from({ length: count }, () => eventRow({ userIds: ['alice'] }));
  const lease = { leaseMs: 45_000, holder: 17, events: events.map(() => true), fullWebhookIds: [], fullUserIds: [] };
  const { deliveries } = await insertEvents(pool, events, lease);
  return [...deliveries.values()].flat().map(({ deliveryId }) => deliveryId);
}

async function kept(ids: readonly string[]): Promise<unknown[]> {
  const { rows } = await pool.query(
    `select delivery_id, request_headers, response_headers, remote_address, tls_version from attempts where delivery_id = any($1)
     order by delivery_id`,
    [ids],
  );
  return rows.map((row: Record<string, unknown>) => Object.values(row));
}

test('it is kept of a failure and of a first try that was asked for, in order of a key or not', async () => {
  const columns = Object.values(transcript);
  for (const orderingKey of [null, 'table 4']) {
    const ids = (await publish(4)).toSorted();
    const [sent = '', refused = '', replayed = '', bare = ''] = ids;
    const rows = [
      { deliveryId: sent },
      { deliveryId: refused, ...failed, transcript },
      { deliveryId: replayed, trigger: 'manual' as const, transcript },
      { deliveryId: bare, ...failed },
    ];
    const { states } = await recordOutcomes(
      pool,
      rows.map(({ deliveryId, ...row }) => outcomeRow(deliveryId, { ...row, webhookId: WEBHOOK, orderingKey })),
    );
    expect(states.map((state) => state?.status)).toEqual(['delivered', 'failed', 'delivered', 'failed']);
    expect(await kept(ids)).toEqual([
      [refused, ...columns],
      [replayed, ...columns],
      [bare, null, null, null, null],
    ]);
  }
});

test('a batch of first tries that succeeded is written by the statement that knows nothing of it', async () => {
  const query = vi.spyOn(pool, 'query');
  const [one = '', two = ''] = await publish(2);
  query.mockClear();
  await recordOutcomes(pool, [outcomeRow(one, { webhookId: WEBHOOK })]);
  await recordOutcomes(pool, [outcomeRow(two, { webhookId: WEBHOOK, ...failed, transcript })]);
  const statements = query.mock.calls.map(
    ([statement]) => statement as unknown as { name: string; text: string; values: unknown[] },
  );
  expect(statements.map(({ name, values }) => [name, values.length])).toEqual([
    ['record-first-successes', 6],
    ['record-outcomes', 21],
  ]);
  expect(statements[0]?.text).not.toContain('request_headers');
  query.mockRestore();
});
