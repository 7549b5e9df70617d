// The overview: what the log has of all webhooks, of all users or of one, and which webhooks are in trouble and why.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idFloor, newId, timeOfId } from '../../src/domain/ids.ts';
import { sumPage } from '../../src/persistence/queries/sum-log.ts';
import { getOverview, type Overview } from '../../src/service/get-overview.ts';
import type { Principal } from '../../src/security/tokens.ts';
import { beginSums } from '../persistence/sums.ts';
import { admin, alice, type Management, mallory, refusal, someWebhook, startManagement } from './management.ts';

const HOUR_MS = 3_600_000;
const nowMs = Date.now();
const sinceMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS - 30 * HOUR_MS;
const DELIVERIES = 3000;

let management: Management;
/** Three of alice's, one of mallory's. */
let webhooks: string[];
beforeAll(async () => {
  management = await startManagement({ MAX_WEBHOOKS_PER_USER: '1000' });
  webhooks = [];
  for (const owner of [alice, alice, alice, mallory]) webhooks.push((await someWebhook(management, owner)).id);
  const { pool } = management.database;
  await pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 3, 3)`);
  // More and more towards now, so that the first hours have few; the first webhook is in trouble for long, the last since this hour.
  const ids = Array.from({ length: DELIVERIES }, (_, n) =>
    newId('delivery', sinceMs + Math.floor((n / DELIVERIES) ** 0.6 * (nowMs - sinceMs))),
  );
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, duration_ms, error_code, http_status, next_attempt_at, failed_at)
     select id, 'event_1', ($2::text[])[1 + n % 4], case when n % 4 = 3 then 'mallory' else 'alice' end, 'order.created', status, 5 + n % 300,
       case when status in ('failed', 'retrying') then case when n % 4 = 3 then 'timeout' else 'http_status' end end,
       case when status in ('failed', 'retrying') and n % 4 <> 3 then 503 end,
       case when status = 'retrying' then now() end, case when status = 'failed' then now() end
     from unnest($1::text[]) with ordinality i(id, number) cross join lateral (select number - 1 as n) n
     cross join lateral (select case
       when n % 4 = 0 and n % 3 = 0 then 'failed' when n % 4 = 3 and n > 2900 then 'retrying' when n % 4 = 1 and n % 50 = 1 then 'cancelled'
       else 'delivered' end as status) s`,
    [ids, webhooks],
  );
});
afterAll(() => management.close());

async function sumTo(hours: number, page: number): Promise<void> {
  const { pool } = management.database;
  await pool.query('truncate hour_sums, day_sums');
  await beginSums(pool, sinceMs);
  const below = idFloor('delivery', sinceMs + hours * HOUR_MS);
  await pool.query('update summing set closing_below = $1', [below]);
  while ((await sumPage(pool, below, page))?.isMore === true);
}

const ask = (who: Principal, userId = ''): Promise<Overview> =>
  getOverview(management.context, who, { sinceMs, userId, limit: 0 });

async function inLog(where: string): Promise<Record<string, number>> {
  const { rows } = await management.database.pool.query<{ key: string; n: number }>(
    `select status as key, count(*)::integer as n from deliveries where ${where} group by 1`,
  );
  const total = rows.reduce((sum, { n }) => sum + n, 0);
  return {
    pending: 0,
    retrying: 0,
    delivered: 0,
    failed: 0,
    cancelled: 0,
    ...Object.fromEntries(rows.map(({ key, n }) => [key, n])),
    total,
  };
}

test.each([
  ['nothing', 0, 1000],
  ['a part of an hour', 20.4, 1000],
  ['all whole hours', 30, 1000],
  ['hours in parts', 30, 50],
])('with %s summed up, counts and causes are those of the log', async (_what, hours, page) => {
  await sumTo(hours, page);
  const [everybody, hers, hersByAdmin, his] = await Promise.all([ask(admin), ask(alice), ask(admin, 'alice'), ask(mallory)]);
  expect(everybody.counts).toEqual(await inLog('true'));
  expect(hers.counts).toEqual(await inLog(`user_id = 'alice'`));
  expect(hersByAdmin.counts).toEqual(hers.counts);
  expect(his.counts).toEqual(await inLog(`user_id = 'mallory'`));
  expect(hers.causes).toEqual([{ cause: 'http_503', deliveries: hers.counts.failed }]);
  expect(everybody.causes).toEqual(
    expect.arrayContaining([
      { cause: 'http_503', deliveries: hers.counts.failed },
      { cause: 'timeout', deliveries: his.counts.retrying },
    ]),
  );
  expect(everybody.buckets.reduce((sum, { counts }) => sum + counts.total, 0)).toBe(everybody.counts.total);
  const troubled = (overview: Overview) =>
    overview.worst.map(({ webhook, failed, retrying, cause }) => [webhook.id, failed, retrying, cause]);
  const first = [webhooks[0], hers.counts.failed, 0, { cause: 'http_503', deliveries: hers.counts.failed }];
  const last = [webhooks[3], 0, his.counts.retrying, { cause: 'timeout', deliveries: his.counts.retrying }];
  expect(troubled(everybody)).toEqual([first, last]);
  expect(troubled(hers)).toEqual([first]);
  expect(troubled(his)).toEqual([last]);
  expect([everybody.webhooks.total, hers.webhooks.total, his.webhooks.total]).toEqual([4, 3, 1]);
  // Each has a duration, so each was tried.
  expect(everybody.neverTried).toBe(0);
  const oldest = await management.database.pool.query<{ id: string }>(
    `select min(id) as id from deliveries where status = 'retrying'`,
  );
  const oldestMs = timeOfId(oldest.rows[0]?.id ?? '');
  expect([oldestMs, Math.floor(oldestMs / HOUR_MS) * HOUR_MS]).toContain(his.worst[0]?.oldestRetryingMs);
  expect(hers.worst[0]?.oldestRetryingMs).toBe(null);
});

test.each([0, 20.4, 30])(
  'failures of a day are grouped by host and cause, over all webhooks, with %s hours summed up',
  async (hours) => {
    const { pool } = management.database;
    await sumTo(hours, 1000);
    await pool.query(`update webhook_endpoints set url = 'https://TILL.example.com:8443/a?b=c' where id = $1`, [webhooks[0]]);
    await pool.query(`update webhook_endpoints set url = 'https://me@till.example.com:8443/' where id = $1`, [webhooks[3]]);
    await pool.query(
      `update webhook_endpoints set url = lower(url), failing_since = to_timestamp(1.2345678) where id = any ($1)`,
      [webhooks],
    );
    const everybody = await ask(admin);
    const ofDay = idFloor('delivery', Math.floor((everybody.untilMs - 24 * HOUR_MS) / HOUR_MS + 1) * HOUR_MS);
    const failed = await inLog(`status = 'failed' and id >= '${ofDay}'`);
    const [first, second] = everybody.failures;
    expect(everybody.failures.map(({ cause }) => cause)).toEqual(['http_503', 'timeout']);
    expect(first).toMatchObject({ host: 'till.example.com:8443', webhooks: 1, users: 1, failingSinceMs: 1234 });
    expect(second).toMatchObject({ host: 'till.example.com:8443', webhooks: 1, users: 1 });
    // What is not summed up is not cut at a day, because it is an hour old at most where sums are made.
    if (hours === 30) expect(first?.deliveries).toBe(failed.failed);
    expect((await ask(alice)).failures.map(({ cause }) => cause)).toEqual(['http_503']);
    expect((await ask(mallory)).failures.map(({ cause }) => cause)).toEqual(['timeout']);
  },
);

test('a user with many webhooks has them all counted, silent ones too', async () => {
  await management.database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint)
     select 'webhook_' || lpad(n::text, 26, '0'), 'alice', 'https://example.com', '["order.created"]', 's', 'h' from generate_series(1, 200) n`,
  );
  await sumTo(30, 1000);
  const hers = await ask(alice);
  expect(hers.counts).toEqual(await inLog(`user_id = 'alice'`));
  expect(hers.webhooks).toMatchObject({ total: 203, active: 203, failing: 0, disabled: 0 });
});

test('a time that is to come or too long ago is refused', async () => {
  const refused = (since: number) => refusal(getOverview(management.context, alice, { sinceMs: since, userId: '', limit: 0 }));
  expect(await refused(nowMs + HOUR_MS)).toMatchObject({ reason: 'time_range_invalid', fields: ['since'] });
  expect(await refused(nowMs - 31 * 24 * HOUR_MS)).toMatchObject({ reason: 'time_range_invalid', fields: ['since'] });
});
