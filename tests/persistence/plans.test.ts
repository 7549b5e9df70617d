// The hot statements' plans on a large, partitioned table: no sequential scan, no partition touched for nothing, no work that
// grows with the table.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { timeOfId } from '../../src/domain/ids.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { batchSettings } from '../../src/persistence/session.ts';
import { claimDue, FIRST_TURN, MAX_LOOK } from '../../src/persistence/queries/claim-due.ts';
import { expireDeliveries } from '../../src/persistence/queries/expire-deliveries.ts';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { listChanges, readChangesPage } from '../../src/persistence/queries/list-changes.ts';
import { listOverdue } from '../../src/persistence/queries/list-overdue.ts';
import { loadDeliveries } from '../../src/persistence/queries/load-deliveries.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, outcomeRow } from './hot-rows.ts';
import { generateRows } from '../schedule/rows.ts';

const DAYS = 30;
const ROWS_PER_DAY = 5000;
const WEBHOOKS = 200;
const BATCH = 100;
const DAY_MS = 86_400_000;

interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Loops': number;
  'Actual Rows': number;
  'Rows Removed by Filter'?: number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: PlanNode[];
}

let database: TestDatabase;
let pool: pg.Pool;
let ids: string[];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool(database.config, () => undefined, { max: 2, settings: batchSettings });
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - ${DAYS}, ${DAYS})`);
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select 'webhook_' || lpad(n::text, 26, '0'), 'user_' || n, 'https://example.com/', '["order.created"]', 's', 'h'
     from generate_series(1, $1::integer) n`,
    [WEBHOOKS],
  );
  await database.pool.query(
    `with made as (
       select day, n, substr(id_floor('event', now() - day * interval '1 day'), 7, 10) || lpad((day * 100000 + n)::text, 16, '0') as suffix
       from generate_series(0, $1::integer - 1) day, generate_series(1, $2::integer) n),
     stored as (
       insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
       select 'event_' || suffix, 'order.created', '{}', now(), 'test', '{user_1}', false from made)
     insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, next_attempt_at)
     select 'delivery_' || suffix, 'event_' || suffix, 'webhook_' || lpad((1 + n % $3)::text, 26, '0'), 'user_1', 'order.created',
       case when day = 0 then 'pending' else 'delivered' end, case when day = 0 then 0 else 1 end, case when day = 0 then now() end
     from made`,
    [DAYS, ROWS_PER_DAY, WEBHOOKS],
  );
  // As autovacuum leaves it: an index of words that is not tidied up looks dear to the planner.
  await database.pool.query('vacuum analyze');
  const found = await database.pool.query<{ id: string }>(
    `select id from deliveries where status = 'pending' order by id limit $1`,
    [BATCH],
  );
  ids = found.rows.map((row) => row.id);
}, 180_000);
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** Runs a statement's function against a recorder, then explains what it would have sent. The plan may know the values, which the service's does not. */
async function explain(run: (client: pg.Pool) => Promise<unknown>): Promise<PlanNode[]> {
  let sent: { text: string; values: unknown[] } | undefined;
  const recorder = {
    query: (query: { text: string; values: unknown[] }) => {
      sent = query;
      return Promise.resolve({ rows: [] });
    },
  };
  await run(recorder as unknown as pg.Pool);
  if (sent === undefined) throw new Error('no statement was sent');
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await client.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>({
      text: `explain (analyze, buffers, format json) ${sent.text}`,
      values: sent.values,
    });
    return nodesOf(result.rows[0]?.['QUERY PLAN'][0]?.Plan);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

function nodesOf(node: PlanNode | undefined): PlanNode[] {
  return node === undefined ? [] : [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

const statements: [string, (client: pg.Pool) => Promise<unknown>][] = [
  [
    'publish',
    (client) =>
      insertEvents(
        client,
        Array.from({ length: BATCH }, (_, n) =>
          eventRow({ userIds: [`user_${1 + (n % WEBHOOKS)}`], idempotencyKey: `key-${n}`, requestHash: 'hash' }),
        ),
        {
          leaseMs: 45_000,
          events: Array.from({ length: BATCH }, () => true),
          fullWebhookIds: ['webhook_1'],
          fullUserIds: ['user_1'],
        },
      ),
  ],
  [
    'load',
    (client) =>
      loadDeliveries(
        client,
        ids.map((deliveryId) => ({ deliveryId, token: 0 })),
      ),
  ],
  [
    'settle',
    (client) =>
      recordOutcomes(
        client,
        ids.map((id) => outcomeRow(id)),
      ),
  ],
];

describe.each(statements)('the %s statement', (_name, run) => {
  test('reads no table sequentially but those that have a single row', async () => {
    const scans = (await explain(run)).filter((node) => node['Node Type'] === 'Seq Scan' && node['Actual Loops'] > 0);
    expect(scans.filter((node) => !['adoption', 'summing'].includes(node['Relation Name'] ?? ''))).toEqual([]);
  });

  test('touches no partition but the one its rows are in', async () => {
    const day = new Date(timeOfId(ids[0] ?? '')).toISOString().slice(0, 10).replaceAll('-', '');
    const touched = (await explain(run))
      .filter((node) => node['Actual Loops'] > 0 && /_\d{8}$/.test(node['Relation Name'] ?? ''))
      .filter((node) => node['Node Type'] !== 'ModifyTable')
      .map((node) => node['Relation Name']);
    expect(new Set(touched.filter((name) => !name?.endsWith(day)))).toEqual(new Set());
  });

  test('throws away no more than one row a look-up, however many webhooks there are', async () => {
    const reads = (await explain(run)).filter((node) => node['Relation Name'] !== undefined);
    expect(reads.filter((node) => (node['Rows Removed by Filter'] ?? 0) > 1)).toEqual([]);
  });
});

const changes: [string, (client: pg.Pool) => Promise<unknown>][] = [
  ['what changed since a moment', (client) => listChanges(client, { micros: 0, userIds: null, max: 100 })],
  [
    'a page of what a watcher missed',
    (client) => readChangesPage(client, { from: { micros: 0, id: '' }, untilMicros: null, userId: 'user_1', max: 100 }),
  ],
];

test.each(changes)('%s is read along the index of changes', async (_name, run) => {
  const scans = (await explain(run)).filter((node) => node['Node Type'] === 'Seq Scan' && node['Actual Loops'] > 0);
  expect(scans).toEqual([]);
});

test('what became due lately is found by one look a partition, whatever is scheduled for later', async () => {
  const request = { after: null, limit: 10_000, perWebhook: 500, minAgeMs: 1000, maxAgeMs: 60_000 };
  const reads = (await explain((client) => listOverdue(client, request))).filter(
    (node) => node['Relation Name'] !== undefined && node['Actual Loops'] > 0,
  );
  expect(new Set(reads.map((node) => node['Node Type']))).toEqual(new Set(['Index Scan']));
  expect(reads.every((node) => node['Actual Loops'] === 1 && node['Index Name']?.includes('_next_attempt_at_idx'))).toBe(true);
  expect(reads.filter((node) => node['Index Name']?.includes('webhook_id'))).toEqual([]);
});

test('what has expired is found along the index of deadlines, whatever has none or is in time', async () => {
  await database.pool.query(`update deliveries set deliver_before = now() + interval '1 hour' where status = 'pending'`);
  await database.pool.query(
    `update deliveries set deliver_before = now() where id in (select id from deliveries where status = 'pending' limit 3)`,
  );
  await database.pool.query(`update deadline_walk set reached = now() - interval '1 minute'`);
  await database.pool.query('analyze deliveries');
  try {
    const reads = (await explain((client) => expireDeliveries(client, 1000))).filter(
      (node) => node['Relation Name']?.startsWith('deliveries_') === true && node['Actual Loops'] > 0,
    );
    expect(reads.filter((node) => node['Node Type'] === 'Seq Scan')).toEqual([]);
    const byDeadline = reads.filter((node) => node['Index Name']?.includes('deliver_before'));
    expect(byDeadline.reduce((sum, node) => sum + node['Actual Rows'], 0)).toBe(3);
    // Every other look is by the ids that were found.
    expect(reads.filter((node) => !byDeadline.includes(node) && node['Actual Rows'] > 3)).toEqual([]);
  } finally {
    await database.pool.query('update deliveries set deliver_before = null where deliver_before is not null');
  }
});

test('a claim asks only webhooks that have something due', async () => {
  const request = {
    leaseMs: 60_000,
    max: 100,
    perWebhook: 16,
    room: new Map<string, number>(),
    after: FIRST_TURN,
    maxWebhooks: 500,
    dueWithinMs: null,
  };
  await database.pool.query(`update deliveries set next_attempt_at = now() + interval '1 hour' where status = 'pending'`);
  await database.pool.query(
    `update deliveries set next_attempt_at = now() - interval '1 second' where id = (select min(id) from deliveries where status = 'pending')`,
  );
  try {
    const reads = (await explain((client) => claimDue(client, request))).filter(
      (node) => node['Relation Name']?.startsWith('deliveries_') === true && node['Actual Loops'] > 0,
    );
    expect(reads.filter((node) => node['Node Type'] === 'Seq Scan')).toEqual([]);
    // One look by time and one for the webhook, in each partition.
    expect(Math.max(...reads.map((node) => node['Actual Loops']))).toBe(1);
    for (const node of reads) expect(node['Rows Removed by Filter'] ?? 0).toBe(0);
  } finally {
    await database.pool.query(`update deliveries set next_attempt_at = now() where status = 'pending'`);
  }
});

test('a claim behind a backlog walks from webhook to webhook in one partition at a time', async () => {
  const busy = 'webhook_' + '1'.padStart(26, '0');
  await database.pool.query(
    `update deliveries set next_attempt_at = now() + case when webhook_id = $1 then interval '-1 hour' else interval '1 hour' end
     where status = 'pending'`,
    [busy],
  );
  await generateRows(database.pool, busy, MAX_LOOK, -3_600_000);
  try {
    const request = { leaseMs: 60_000, max: 100, perWebhook: 16, after: FIRST_TURN, maxWebhooks: 500, dueWithinMs: null };
    const reads = (await explain((client) => claimDue(client, { ...request, room: new Map([[busy, 0]]) }))).filter(
      (node) => node['Relation Name']?.startsWith('deliveries_') === true && node['Actual Loops'] > 0,
    );
    const walked = reads.filter((node) => node['Actual Loops'] >= WEBHOOKS);
    expect(walked.map((node) => node['Index Name'])).toEqual([expect.stringContaining('webhook_id_next_attempt_at_idx')]);
    expect(reads.filter((node) => node['Actual Loops'] > 2)).toEqual(walked);
  } finally {
    await database.pool.query(`delete from deliveries where user_id = 'user'`);
    await database.pool.query(`update deliveries set next_attempt_at = now() where status = 'pending'`);
  }
});

test('the oldest partition of the test holds what it should, so that pruning has something to prune', async () => {
  const day = new Date(Date.now() - (DAYS - 1) * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
  const found = await database.pool.query<{ n: number }>(`select count(*)::integer as n from deliveries_${day}`);
  expect(found.rows[0]?.n).toBe(ROWS_PER_DAY);
});
