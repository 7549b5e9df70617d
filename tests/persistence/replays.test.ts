// Replays in the database: which rows a selection reads, and in which order replays are listed.
import type { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { matchedColumns, nextRows } from '../../src/persistence/queries/replay-selection.ts';
import { listOpenReleases } from '../../src/persistence/queries/release-states.ts';
import { listReplays } from '../../src/persistence/queries/replays.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const WEBHOOK = 'webhook_00000000000000000000000001';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(() => pool.query('truncate deliveries, releases'));

/** Deliveries of the last seconds, one a millisecond, oldest first. */
async function add(status: 'delivered' | 'failed' | 'cancelled', count: number, startMs: number): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, index) => newId('delivery', startMs + index));
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, ${status}_at)
     select id, 'event_1', $2, 'alice', 'order.created', $3, 1, now() from unnest($1::text[]) id`,
    [ids, WEBHOOK, status],
  );
  return ids;
}

interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

function rowsRead(node: PlanNode): number {
  const own =
    node['Relation Name'] === undefined
      ? 0
      : (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
  return (node.Plans ?? []).reduce((sum, inner) => sum + rowsRead(inner), own);
}

test('what failed or was cancelled is found among many delivered ones without reading those, oldest first', async () => {
  const startMs = Date.now() - 20_000;
  const failed = await add('failed', 5, startMs);
  await add('delivered', 10_000, startMs + 100);
  const cancelled = await add('cancelled', 5, startMs + 15_000);
  const lastFailed = await add('failed', 5, startMs + 16_000);
  await pool.query('analyze deliveries');
  const text = nextRows('failed_or_cancelled', matchedColumns, {
    webhookId: `'${WEBHOOK}'`,
    cursor: `'delivery_'`,
    stop: `'delivery_~'`,
  });
  const { rows } = await pool.query<{ id: string }>(text);
  expect(rows.map(({ id }) => id)).toEqual([...failed, ...cancelled, ...lastFailed]);
  const explained = await pool.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>(`explain (analyze, format json) ${text}`);
  expect(rowsRead(explained.rows[0]?.['QUERY PLAN'][0]?.Plan as PlanNode)).toBe(15);
});

test('pages of replays have each once, newest first, though the clock of the process that made one was behind', async () => {
  const nowMs = Date.now();
  const ids = [0, 1000, -5000, 2000, -9000, 3000].map((aheadMs) => newId('replay', nowMs + aheadMs));
  for (const id of ids) {
    await pool.query(`insert into releases (id, webhook_id, user_id, kind, rate) values ($1, $2, 'alice', 'replay', 1)`, [
      id,
      WEBHOOK,
    ]);
  }
  const listed: string[] = [];
  for (let lastId: string | null = null; ;) {
    const page = await listReplays(pool, { webhookId: WEBHOOK, lastId, limit: 2 });
    if (page.length === 0) break;
    listed.push(...page.map(({ id }) => id));
    lastId = listed.at(-1) ?? null;
  }
  expect(listed).toEqual(ids.toReversed());
});

test('of more open releases than one round takes, each has its turn, however many wait', async () => {
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint) values ($1, 'alice', 'https://example.com', '[]', 's', 'h')
     on conflict do nothing`,
    [WEBHOOK],
  );
  await pool.query(
    `insert into releases (id, webhook_id, user_id, kind, state, rate)
     select 'release_' || n, $1, 'alice', 'resume', case when n < 1100 then 'waiting' else 'running' end, 50 from generate_series(1, 1200) n`,
    [WEBHOOK],
  );
  const seen = new Set<string>();
  for (let round = 0; round < 20; round += 1) for (const { no } of await listOpenReleases(pool)) seen.add(no);
  expect(seen.size).toBe(1200);
});
