// Statistics from sums are those of the log, wherever the time begins and ends and however far summing has come.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { sumPage } from '../../src/persistence/queries/sum-log.ts';
import { getWebhookStats, type WebhookStats } from '../../src/service/get-webhook-stats.ts';
import { beginSums } from '../persistence/sums.ts';
import { alice, type Management, someWebhook, startManagement } from './management.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const DELIVERIES = 12_000;
/** The third day is not over. */
const firstMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - 40 * DAY_MS;

let management: Management;
let webhookId: string;
beforeAll(async () => {
  management = await startManagement();
  webhookId = (await someWebhook(management, alice)).id;
  const { pool } = management.database;
  await pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 41, 41)`);
  const other = (await someWebhook(management, alice)).id;
  // Quiet hours, busy ones, one without anything.
  const ids = Array.from({ length: DELIVERIES }, (_, n) =>
    newId('delivery', firstMs + Math.floor((n / DELIVERIES) ** 2 * 64 * HOUR_MS)),
  );
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, duration_ms, error_code, created_at)
     select id, 'event_1', case when n % 3 = 0 then $3 else $2 end, 'alice', 'order.created',
       case n % 7 when 0 then 'failed' when 1 then 'retrying' when 2 then 'cancelled' when 3 then 'pending' else 'delivered' end,
       5 + n % 300, case when n % 7 < 2 then 'timeout' end, id_time(id)
     from unnest($1::text[]) with ordinality i(id, n)`,
    [ids, webhookId, other],
  );
  await pool.query('update webhook_endpoints set created_at = created_at - interval $$50 days$$');
});
afterAll(() => management.close());

/** Sums up all below a moment, in pages of so many. */
async function sumTo(ms: number, page: number): Promise<void> {
  const { pool } = management.database;
  await pool.query('truncate hour_sums, day_sums');
  await beginSums(pool, firstMs);
  const below = idFloor('delivery', ms);
  await pool.query('update summing set closing_below = $1', [below]);
  while ((await sumPage(pool, below, page))?.isMore === true);
}

const ask = (sinceMs: number, untilMs: number): Promise<WebhookStats> =>
  getWebhookStats(management.context, alice, { webhookId, sinceMs, untilMs });

async function inLog(sinceMs: number, untilMs: number): Promise<Record<string, number>> {
  const { rows } = await management.database.pool.query<{ status: string; n: number }>(
    'select status, count(*)::integer as n from deliveries where webhook_id = $1 and id >= $2 and id < $3 group by status',
    [webhookId, idFloor('delivery', sinceMs), idFloor('delivery', untilMs)],
  );
  const counts = {
    total: 0,
    pending: 0,
    retrying: 0,
    delivered: 0,
    failed: 0,
    cancelled: 0,
    ...Object.fromEntries(rows.map(({ status, n }) => [status, n])),
  };
  return { ...counts, total: rows.reduce((sum, { n }) => sum + n, 0) };
}

test.each([
  ['nothing', 0, 1000],
  ['a part of an hour', 50.3, 1000],
  ['a day and a half', 36, 1000],
  ['all of it, in parts of hours', 64, 70],
])('with %s summed up', async (_what, hours, page) => {
  await sumTo(firstMs + hours * HOUR_MS, page);
  for (const [from, to] of [
    [0, 64],
    [0.4, 63.7],
    [10, 50.5],
    [20.2, 64],
    [0, 24 * 26],
    [-30, 24 * 27 + 0.1],
  ] as const) {
    const [sinceMs, untilMs] = [firstMs + from * HOUR_MS, firstMs + to * HOUR_MS];
    const stats = await ask(sinceMs, untilMs);
    expect(stats.latencyIsEstimated, `${from} to ${to}`).toBe(true);
    expect(stats.counts, `${from} to ${to}`).toEqual(await inLog(stats.sinceMs, untilMs));
    const widthMs = stats.bucketSeconds * 1000;
    expect(widthMs).toBe(to - from > 25 * 24 ? DAY_MS : HOUR_MS);
    for (const { startMs, counts } of stats.buckets) {
      expect(counts).toEqual(await inLog(Math.max(startMs, stats.sinceMs), Math.min(startMs + widthMs, untilMs)));
    }
  }
});

test('a day that is gone from the log is still counted, as a whole', async () => {
  await sumTo(firstMs + 3 * DAY_MS, 1000);
  const { pool } = management.database;
  const kept = await inLog(firstMs, firstMs + 3 * DAY_MS);
  const gone = await inLog(firstMs, firstMs + DAY_MS);
  await pool.query('delete from deliveries where id < $1', [idFloor('delivery', firstMs + DAY_MS)]);
  await pool.query('delete from hour_sums where hour < to_timestamp($1::float8 / 1000)', [firstMs + DAY_MS]);
  await pool.query('update summing set log_from = to_timestamp($1::float8 / 1000)', [firstMs + DAY_MS]);
  const stats = await ask(firstMs + 5 * HOUR_MS, firstMs + 3 * DAY_MS);
  expect(stats).toMatchObject({ sinceMs: firstMs, bucketSeconds: 86_400, counts: kept });
  expect(stats.buckets[0]?.counts).toEqual(gone);
  // More than a hundred days have bars of a week.
  expect((await ask(firstMs - 300 * DAY_MS, firstMs + 3 * DAY_MS)).bucketSeconds).toBe(7 * 86_400);
});
