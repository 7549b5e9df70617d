// `npm run bench:log`: what reading costs on a long delivery log, beside what it must cost at most; ends with 1 where one is missed.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { silentLogger } from '../src/telemetry/log.ts';
import { toConfig } from '../src/config.ts';
import { Summing } from '../src/maintenance/summing.ts';
import { startEmbeddedPostgres } from '../src/embedded/embedded-postgres.ts';
import { runMissing } from '../src/persistence/migrate.ts';
import { createOrm } from '../src/persistence/orm.ts';
import { createPool } from '../src/persistence/pool.ts';
import { cancelDeliveries, MAX_CANCELLED_AT_ONCE } from '../src/persistence/queries/cancel-deliveries.ts';
import { claimDue, FIRST_TURN } from '../src/persistence/queries/claim-due.ts';
import { listOverdue } from '../src/persistence/queries/list-overdue.ts';
import { PostgresScheduler } from '../src/schedule/postgres-scheduler.ts';
import { createReports } from '../src/persistence/reports.ts';
import { batchSettings } from '../src/persistence/session.ts';
import type { Principal } from '../src/security/tokens.ts';
import type { ManagementContext } from '../src/service/context.ts';
import { getOverview } from '../src/service/get-overview.ts';
import { FIRST_BATCH } from '../src/service/close-webhook.ts';
import { getWebhookStats } from '../src/service/get-webhook-stats.ts';
import { listDeliveries, type ListDeliveriesInput } from '../src/service/list-deliveries.ts';
import { fillLog, OPERATOR, RARE_TYPE, webhookId } from './log-fill.ts';

const { values: flags } = parseArgs({
  options: { rows: { type: 'string', default: '10000000' }, quick: { type: 'boolean', default: false } },
});
const QUICK_ROWS = 1_000_000;
const rows = flags.quick ? QUICK_ROWS : Number(flags.rows);
/** Calls of each row: the first of them finds caches as the one before left them. */
const CALLS = 15;
/** As many outcomes as one settlement of the recorder has. */
const PROBES = 250;
/** Deliveries that wait for the webhook that is closed. */
const CLOSED_WAITING = 400_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface Row {
  readonly what: string;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly mustBe: string;
  readonly isMissed: boolean;
}

const dataDir = await mkdtemp(join(tmpdir(), 'homechef-bench-log-'));
const postgres = await startEmbeddedPostgres(dataDir);
const onError = (error: Error): void => console.error(error.message);
const pool = createPool(postgres.config, onError, { limits: { statementTimeoutMs: 600_000, queryTimeoutMs: 660_000 } });
const batchPool = createPool(postgres.config, onError, { settings: batchSettings });
const reports = createReports(postgres.config, onError);
const results: Row[] = [];
const figures: Record<string, number> = {};
let orm: Awaited<ReturnType<typeof createOrm>> | undefined;
try {
  await runMissing(postgres.config);
  for (const setting of [`max_wal_size = '8GB'`, 'autovacuum = off']) await pool.query(`alter system set ${setting}`);
  await pool.query('select pg_reload_conf()');
  orm = await createOrm(postgres.config, onError);
  await fill();
  await measure();
} finally {
  await reports.close();
  await orm?.close(true);
  await Promise.all([pool.end(), batchPool.end()]);
  await postgres.stop();
  await rm(dataDir, { recursive: true, force: true });
}
const file = fileURLToPath(new URL('./log-results.json', import.meta.url));
await writeFile(file, JSON.stringify({ date: new Date().toISOString(), rows, figures, results }, null, 2));
process.exitCode = results.some(({ isMissed }) => isMissed) ? 1 : 0;

async function fill(): Promise<void> {
  const began = performance.now();
  await fillLog(pool, rows, (day) => console.log(`filled day -${day}, ${seconds(began)} s`));
  await pool.query('vacuum (analyze) deliveries');
  figures['fill_s'] = seconds(began);
  const summingBegan = performance.now();
  const summing = new Summing({
    pool,
    isLeading: () => true,
    onError: (error) => {
      throw error;
    },
  });
  await summing.run();
  figures['sum_us_a_delivery'] = ((performance.now() - summingBegan) / rows) * 1000;
  await pool.query('vacuum (analyze) hour_sums');
  await pool.query('vacuum (analyze) day_sums');
  const { rows: sizes } = await pool.query<{ deliveries: number; hours: number; days: number; sumsMb: number }>(
    `select (select count(*) from deliveries)::float8 as deliveries, (select count(*) from hour_sums)::float8 as hours,
       (select count(*) from day_sums)::float8 as days,
       (pg_total_relation_size('hour_sums') + pg_total_relation_size('day_sums')) / 1048576.0::float8 as "sumsMb"`,
  );
  Object.assign(figures, sizes[0]);
  console.log(figures);
}

async function measure(): Promise<void> {
  const developer: Principal = { userId: OPERATOR, role: 'developer', expiresAtMs: Number.MAX_SAFE_INTEGER };
  const admin: Principal = { ...developer, userId: 'admin', role: 'admin' };
  const { delivery, maxWebhooksPerUser, statsDays } = toConfig({ ENVIRONMENT: 'test' });
  // Reading needs no more of the service than this.
  const context = {
    config: { delivery, maxWebhooksPerUser, statsDays },
    orm,
    pool,
    reports,
    log: silentLogger,
  } as unknown as ManagementContext;
  const untilMs = Date.now();
  const share = rows / 10_000_000;
  const stats = (n: number, spanMs: number) => () =>
    getWebhookStats(context, developer, { webhookId: webhookId(n), sinceMs: untilMs - spanMs, untilMs });
  for (const [name, n] of [
    ['a tenth of the log', 1],
    ['a fiftieth', 5],
    ['one of the small', 5000],
  ] as const) {
    for (const [span, spanMs] of [
      ['24 h', DAY_MS],
      ['7 d', 7 * DAY_MS],
      ['29 d', 29 * DAY_MS],
    ] as const)
      await row(`GetWebhookStats ${span}, ${name}`, stats(n, spanMs), { median: bar(20, share) });
  }
  for (const [whose, principal] of [
    ['10,000 webhooks of one user', developer],
    ['everybody', admin],
  ] as const) {
    for (const [span, spanMs] of [
      ['24 h', DAY_MS],
      ['7 d', 7 * DAY_MS],
    ] as const)
      await row(
        `GetOverview ${span}, ${whose}`,
        () => getOverview(context, principal, { sinceMs: untilMs - spanMs, userId: '', limit: 0 }),
        { median: bar(50, share) },
      );
  }
  const list = (principal: Principal, webhook: string, narrower: Partial<ListDeliveriesInput>) => () =>
    listDeliveries(context, principal, {
      statuses: [],
      httpStatus: null,
      errorCode: '',
      order: 'desc',
      eventId: '',
      sinceMs: null,
      untilMs: null,
      userId: '',
      page: 0,
      limit: 20,
      pageToken: '',
      webhookIds: webhook === '' ? [] : [webhook],
      eventType: '',
      ...narrower,
    });
  for (const [what, principal, webhook, type] of [
    ['a webhook, a rare type', developer, webhookId(1), RARE_TYPE],
    ['a webhook, a type it never had', developer, webhookId(1), 'payment.failed'],
    ['everybody, a rare type', admin, '', RARE_TYPE],
    ['everybody, a type there never was', admin, '', 'payment.failed'],
  ] as const)
    await row(`ListDeliveries of ${what}`, list(principal, webhook, { eventType: type }), { p99: bar(30, share) });
  for (const [whose, principal, webhook] of [
    ['a tenth of the log', developer, webhookId(1)],
    ['a fiftieth', developer, webhookId(5)],
    ['one of the small', developer, webhookId(5000)],
    ['10,000 webhooks of one user', developer, ''],
    ['everybody', admin, ''],
  ] as const) {
    for (const [what, narrower] of [
      ['an error', { errorCode: 'connection_refused' }],
      ['an error there never was', { errorCode: 'dns_error' }],
      ['failed with a status there never was', { statuses: ['failed'], httpStatus: 404 }],
      ['a status there never was', { httpStatus: 404 }],
      ['a 2xx there never was', { httpStatus: 204 }],
    ] as const)
      await row(`ListDeliveries of ${whose}, ${what}`, list(principal, webhook, narrower), { p99: bar(30, share) });
  }
  await scheduled();
}

/** 80,000 retries, of which some are overdue: what a sweep and a claim on PostgreSQL cost beside such a log. */
async function scheduled(): Promise<void> {
  await pool.query(
    `update deliveries set status = 'retrying', next_attempt_at = now() + random() * interval '1 hour' - interval '1 minute' where id = any (array(
       select id from deliveries where failed_at is not null order by id desc limit 80000))`,
  );
  await pool.query('vacuum (analyze) deliveries');
  const sweep = { after: null, limit: 10_000, perWebhook: 500, minAgeMs: 0, maxAgeMs: HOUR_MS };
  await row('a sweep over what is overdue', () => listOverdue(batchPool, sweep), { median: bar(20, 1) });
  const claim = {
    leaseMs: 1000,
    max: 500,
    perWebhook: 16,
    room: new Map<string, number>(),
    after: FIRST_TURN,
    maxWebhooks: 500,
    dueWithinMs: 1,
  };
  await row('a claim on PostgreSQL with nothing due', () => claimDue(batchPool, claim), { median: bar(10, 1) });
  await besideDead({ ...claim, dueWithinMs: null });
  await closing();
}

/** What is due of dead webhooks, put off as a failed probe of each does it, and what a claim then costs. */
async function besideDead(claim: Parameters<typeof claimDue>[1]): Promise<void> {
  const { rows: dead } = await pool.query<{ id: string }>(
    `update deliveries set next_attempt_at = now() - interval '1 minute' where next_attempt_at is not null returning webhook_id as id`,
  );
  await pool.query('vacuum (analyze) deliveries');
  const scheduler = new PostgresScheduler(batchPool, { leaseMs: claim.leaseMs, putsOff: true });
  const webhookIds = [...new Set(dead.map(({ id }) => id))];
  const leftAloneUntilMs = Date.now() + HOUR_MS;
  const began = performance.now();
  for (let at = 0; at < webhookIds.length; at += PROBES) {
    await scheduler.settle(
      webhookIds.slice(at, at + PROBES).map((id) => ({
        deliveryId: '',
        webhookId: id,
        leasedIn: 'row',
        token: 0,
        dueAtMs: leftAloneUntilMs,
        leftAloneUntilMs,
      })),
    );
  }
  figures['put_off_us_a_row'] = ((performance.now() - began) / dead.length) * 1000;
  figures['dead_webhooks'] = webhookIds.length;
  await row('a claim on PostgreSQL beside webhooks that are away', () => claimDue(batchPool, claim), { median: bar(10, 1) });
}

/** A webhook that is closed with many waiting: what the call waits for, and what each batch behind it costs. */
async function closing(): Promise<void> {
  const closed = webhookId(1);
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, next_attempt_at)
     select 'delivery_' || substr(id_floor('event', now()), 7, 10) || lpad(n::text, 16, '0'), 'event_' || n, $1, $2, 'order.created', 'pending', 0,
       now() + interval '1 hour' from generate_series(1, $3::integer) n`,
    [closed, OPERATOR, CLOSED_WAITING],
  );
  await pool.query('vacuum (analyze) deliveries');
  await pool.query('update webhook_endpoints set is_active = false where id = $1', [closed]);
  await row('the first batch of a closed webhook', () => cancelDeliveries(pool, closed, FIRST_BATCH, false), {
    p99: bar(300, 1),
  });
  await row('a batch behind it', () => cancelDeliveries(pool, closed, MAX_CANCELLED_AT_ONCE, false), { median: bar(100, 1) });
}

interface Bar {
  readonly ms: number;
  readonly text: string;
}

/** Reading sums costs what they show, whatever the log has: the bar of a small log is the same; it is said all the same. */
function bar(ms: number, share: number): Bar {
  return { ms, text: share === 1 ? `≤ ${ms} ms` : `≤ ${ms} ms (the bar of 10,000,000)` };
}

async function row(
  what: string,
  call: () => Promise<unknown>,
  mustBe: { readonly median?: Bar; readonly p99?: Bar },
): Promise<void> {
  const times: number[] = [];
  for (let n = 0; n < CALLS; n += 1) {
    const began = performance.now();
    await call();
    times.push(performance.now() - began);
  }
  times.sort((a, b) => a - b);
  const medianMs = times[Math.floor(CALLS / 2)] ?? 0;
  const p99Ms = times.at(-1) ?? 0;
  const isMissed = medianMs > (mustBe.median?.ms ?? Infinity) || p99Ms > (mustBe.p99?.ms ?? Infinity);
  const text = mustBe.median === undefined ? `p99 ${mustBe.p99?.text}` : `median ${mustBe.median.text}`;
  results.push({ what, medianMs, p99Ms, mustBe: text, isMissed });
  console.log(
    `${isMissed ? 'MISSED' : 'ok    '} ${what.padEnd(72)} median ${medianMs.toFixed(1)} ms, slowest ${p99Ms.toFixed(1)} ms; must be: ${text}`,
  );
}

function seconds(began: number): number {
  return Math.round((performance.now() - began) / 1000);
}
