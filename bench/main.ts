// `npm run bench`: the engine against a bare yardstick, in one run on one machine; fails when anything was lost or sent twice.
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { backlogOfOne, broadcasts, manyDead } from './crowds.ts';
import type { PublishJob, PublishReport } from './publisher.ts';
import { idle } from './idle.ts';
import { startAndIdle } from './start.ts';
import { Child, startWorld, type World } from './world.ts';
import type { YardstickJob } from './yardstick.ts';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
const scale = flags.quick ? 0.25 : 1;
const USERS = 64;
const FAN_OUT_USERS = 16;
const WAITING_DELIVERIES = flags.quick ? 200_000 : 1_000_000;
const BACKLOG_DELIVERIES = flags.quick ? 5000 : 20_000;
/** Webhooks that get broadcasts, and whose receivers then go away. */
const CROWD = flags.quick ? 1000 : 5000;
/** As many orders as are under way at once. */
const ORDERING_KEYS = 1000;
const SETTLE_DEADLINE_MS = 120_000;
/** Before each throughput is measured: as many requests of its kind as the code needs to be compiled. The yardstick gets as many and more. */
const WARM_UP_DELIVERIES = 10_000;
/** About a second. */
const YARDSTICK_REQUESTS = 30_000;

interface Row {
  readonly scenario: string;
  readonly figures: Readonly<Record<string, number>>;
}

const rows: Row[] = [];
const problems: string[] = [];
/** How far the deliveries on record have been compared with what was received. */
let lastVerified = '';
let expectedDelivered = 0;

const profileDir = flags.profile ? fileURLToPath(new URL('./profiles', import.meta.url)) : undefined;
if (profileDir !== undefined) await mkdir(profileDir, { recursive: true });
const world = await startWorld(profileDir === undefined ? {} : { profileDir });
const publisher = (await Child.start('./publisher.ts')).child;
const yardstick = (await Child.start('./yardstick.ts')).child;
try {
  await prepare();
  const isWanted = (name: string): boolean => flags.only === undefined || name.includes(flags.only);
  for (const [name, scenario] of scenarios()) {
    if (!isWanted(name)) continue;
    rows.push({ scenario: name, figures: await scenario() });
    console.log(name, format(rows.at(-1)?.figures ?? {}));
  }
} finally {
  publisher.stop();
  yardstick.stop();
  await world.stop();
}
await writeFile(
  fileURLToPath(new URL('./results.json', import.meta.url)),
  JSON.stringify({ date: new Date().toISOString(), rows }, null, 2),
);
for (const problem of problems) console.error(`FAILED ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;

function scenarios(): [string, () => Promise<Record<string, number>>][] {
  const base = { users: USERS, userPrefix: 'one_', rate: null, paddingBytes: 0 } as const;
  const fanOut = { ...base, users: FAN_OUT_USERS, userPrefix: 'five_' } as const;
  const batch = { mode: 'batch', window: 8 } as const;
  const bench = { world, problems, publish, settled, markVerified };
  return [
    ['start and idle, worker', () => startAndIdle(world.env, 'worker', `${world.dataDir}/compiled`)],
    ['start and idle, all', () => startAndIdle(world.env, 'all', `${world.dataDir}/compiled`)],
    ['idle, one process and sixteen', () => idle(world)],
    // Beside the latencies: no publish is answered sooner than the disk has taken it.
    ['bare fdatasync', () => bareSync(600 * scale)],
    // Before the floods: what PostgreSQL tidies up after them takes its time from whatever comes next.
    ['latency at 100/s', () => latency({ ...base, mode: 'unary', window: 0, events: 1500 * scale, rate: 100 })],
    ['latency at 500/s', () => latency({ ...base, mode: 'unary', window: 0, events: 7500 * scale, rate: 500 })],
    ['beside a hanging webhook', () => besideHanging()],
    ['fan-out 1, batch', () => throughput({ ...base, ...batch, events: 60_000 * scale }, 1)],
    ['fan-out 1, stream', () => throughput({ ...base, mode: 'stream', window: 1000, events: 60_000 * scale }, 1)],
    ['fan-out 1, unary', () => throughput({ ...base, mode: 'unary', window: 240, events: 40_000 * scale }, 1)],
    ['fan-out 5, batch', () => throughput({ ...fanOut, ...batch, events: 20_000 * scale }, 5)],
    ['fan-out 1, batch, 4 kB', () => throughput({ ...base, ...batch, events: 30_000 * scale, paddingBytes: 4096 }, 1)],
    ['fan-out 1, batch, in order', () => inOrder({ ...base, ...batch, events: 40_000 * scale })],
    ['one webhook', () => oneWebhook({ ...base, ...batch, events: 60_000 * scale })],
    ['backlog of one', () => backlogOfOne(bench, BACKLOG_DELIVERIES)],
    // The crowd of the first is what dies in the second.
    [
      'broadcast, many dead',
      async () => ({ ...prefixed('broadcast', await broadcasts(bench, CROWD)), ...prefixed('dead', await manyDead(bench)) }),
    ],
    ['a million waiting', () => withMillionWaiting({ ...base, ...batch, events: 60_000 * scale })],
  ];
}

async function prepare(): Promise<void> {
  for (let user = 0; user < USERS; user += 1) await world.createWebhook(`one_${user}`, `/one/${user}`);
  for (let user = 0; user < FAN_OUT_USERS; user += 1) {
    for (let n = 0; n < 5; n += 1) await world.createWebhook(`five_${user}`, `/five/${user}/${n}`);
  }
  // The first thousands pay for compilation everywhere.
  await warmUp({ mode: 'batch', users: USERS, userPrefix: 'one_', window: 8, rate: null, paddingBytes: 0 }, 1);
  for (let n = 0; n < 3; n += 1) await yardstickRate(0);
}

function publish(job: Omit<PublishJob, 'grpc' | 'token'>): Promise<PublishReport> {
  return publisher.ask({ ...job, grpc: world.grpc, token: world.token });
}

/** Requests a second of the yardstick at this moment: the machine is shared, and its speed changes within a minute. */
async function yardstickRate(paddingBytes: number): Promise<number> {
  const perSecond = await yardstick.ask<number>({
    port: world.receiverPort,
    requests: YARDSTICK_REQUESTS,
    paddingBytes,
  } satisfies YardstickJob);
  await world.resetReceiver();
  return perSecond;
}

/** Resolves when so many more deliveries, all since the receiver was reset, are recorded as delivered. */
async function settled(more: number): Promise<void> {
  expectedDelivered += more;
  const deadline = performance.now() + SETTLE_DEADLINE_MS;
  // Each look at the service's figures costs it as much as fifty deliveries: not before everything has arrived.
  while ((await world.received()) < more && performance.now() < deadline) await wait(20);
  for (;;) {
    if ((await metric('deliveries_delivered_total')) >= expectedDelivered) return;
    if (performance.now() > deadline)
      throw new Error(`only ${await metric('deliveries_delivered_total')} of ${expectedDelivered} delivered`);
    await wait(20);
  }
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(world.metricsUrl)).text();
  const found = [...text.matchAll(new RegExp(`^(?:\\w+_)?${name}(?:\\{[^}]*\\})? ([0-9.e+]+)`, 'gm'))];
  return found.reduce((sum, match) => sum + Number(match[1]), 0);
}

async function throughput(job: Omit<PublishJob, 'grpc' | 'token'>, fanOut: number): Promise<Record<string, number>> {
  const deliveries = job.events * fanOut;
  await warmUp(job, fanOut);
  const yardstickBefore = await yardstickRate(job.paddingBytes);
  const before = await snapshot(world);
  const startedAt = performance.now();
  let peakRss = 0;
  const sampling = setInterval(() => void world.rssMb().then((mb) => (peakRss = Math.max(peakRss, mb))), 250);
  const published = await publish(job);
  await settled(deliveries);
  const seconds = (performance.now() - startedAt) / 1000;
  clearInterval(sampling);
  const after = await snapshot(world);
  await verify(`${job.mode} ×${fanOut}`, published, deliveries);
  const yardstickPerSecond = (yardstickBefore + (await yardstickRate(job.paddingBytes))) / 2;
  const perDelivery = (value: number): number => value / deliveries;
  return {
    per_second: deliveries / seconds,
    yardstick_per_second: yardstickPerSecond,
    ratio: deliveries / seconds / yardstickPerSecond,
    publish_per_second: (published.published / published.durationMs) * 1000,
    service_us: perDelivery((after.cpu.service - before.cpu.service) * 1e6),
    postgres_us: perDelivery((after.cpu.postgres - before.cpu.postgres) * 1e6),
    redis_us: perDelivery((after.cpu.redis - before.cpu.redis) * 1e6),
    receiver_us: perDelivery((after.cpu.receiver - before.cpu.receiver) * 1e6),
    publisher_us: perDelivery((after.cpu.publisher - before.cpu.publisher) * 1e6),
    wal_bytes: perDelivery(after.wal - before.wal),
    commits_per_1000: perDelivery(after.commits - before.commits) * 1000,
    rss_mb: peakRss,
  };
}

/** The same events for webhooks that take those of a key one at a time, and for others without a key, by turns. */
async function inOrder(job: Omit<PublishJob, 'grpc' | 'token'>): Promise<Record<string, number>> {
  const userPrefix = 'ordered_';
  for (let user = 0; user < job.users; user += 1) {
    await world.createWebhook(`${userPrefix}${user}`, `/ordered/${user}`, {}, { ordering: 'key' });
  }
  const plain = await throughput(job, 1);
  const ordered = await throughput({ ...job, userPrefix, keys: ORDERING_KEYS }, 1);
  return { ...ordered, of_plain: (ordered['ratio'] ?? 0) / (plain['ratio'] ?? 1) };
}

async function warmUp(job: Omit<PublishJob, 'grpc' | 'token' | 'events'>, fanOut: number): Promise<void> {
  await world.resetReceiver();
  const published = await publish({ ...job, events: WARM_UP_DELIVERIES / fanOut });
  await settled(WARM_UP_DELIVERIES);
  await verify(`${job.mode} ×${fanOut}, warming up`, published, WARM_UP_DELIVERIES);
}

async function snapshot(from: World) {
  const { rows: found } = await from.pool.query<{ wal: string; commits: string }>(
    `select pg_current_wal_lsn() - '0/0' as wal, (select xact_commit from pg_stat_database where datname = current_database()) as commits`,
  );
  const cpu = { ...(await from.cpuSeconds()), publisher: await publisher.cpuSeconds() };
  return { cpu, wal: Number(found[0]?.wal), commits: Number(found[0]?.commits) };
}

/** Nothing lost, nothing sent twice, as many attempts on record as requests received. */
async function verify(name: string, published: PublishReport, deliveries: number): Promise<void> {
  const { requests, repeats } = await world.report();
  if (published.failed > 0) problems.push(`${name}: ${published.failed} events were not published`);
  if (requests !== deliveries) problems.push(`${name}: ${requests} requests for ${deliveries} deliveries`);
  if (repeats > 0) problems.push(`${name}: ${repeats} deliveries were sent twice`);
  const { rows: found } = await world.pool.query<{ status: string; n: string; attempts: string }>(
    `select status, count(*) as n, sum(attempt_count) as attempts from deliveries
     where next_trigger = 'automatic' and id > $1 group by status`,
    [lastVerified],
  );
  const attempts = found.reduce((sum, row) => sum + Number(row.attempts), 0);
  if (attempts !== requests) problems.push(`${name}: ${attempts} attempts on record for ${requests} requests`);
  await markVerified();
}

async function markVerified(): Promise<void> {
  const { rows: newest } = await world.pool.query<{ id: string }>('select max(id) as id from deliveries');
  lastVerified = newest[0]?.id ?? lastVerified;
  // Ids of one millisecond do not sort by order of creation: the next run begins in a later one.
  await wait(5);
}

async function latency(job: Omit<PublishJob, 'grpc' | 'token'>): Promise<Record<string, number>> {
  await world.resetReceiver();
  const published = await publish(job);
  await settled(job.events);
  const { latenciesMs } = await world.report();
  await verify(`latency at ${job.rate}/s`, published, job.events);
  return { ...percentiles(latenciesMs['one'] ?? [], ''), ...percentiles(published.latenciesMs, 'publish_') };
}

/** What the disk takes, with nothing of ours: one page written and synchronised at a time, every 8 ms. */
async function bareSync(times: number): Promise<Record<string, number>> {
  const file = await open(join(tmpdir(), `homechef-bench-sync-${process.pid}`), 'w');
  const page = Buffer.alloc(8192);
  const tookMs: number[] = [];
  try {
    for (let n = 0; n < times; n += 1) {
      const startedAt = performance.now();
      await file.write(page, 0, page.length, n * page.length);
      await file.datasync();
      tookMs.push(performance.now() - startedAt);
      await wait(8);
    }
  } finally {
    await file.close();
    await rm(join(tmpdir(), `homechef-bench-sync-${process.pid}`));
  }
  return { ...percentiles(tookMs, ''), max: Math.max(...tookMs) };
}

async function besideHanging(): Promise<Record<string, number>> {
  const job = {
    mode: 'unary',
    users: USERS,
    userPrefix: 'one_',
    window: 0,
    rate: 50,
    events: 1000 * scale,
    paddingBytes: 0,
  } as const;
  const baseline = await latency(job);
  await world.createWebhook('hang_0', '/hang', { max_retries: 0, timeout: 5 });
  const published = await publish({
    ...job,
    mode: 'batch',
    users: 1,
    userPrefix: 'hang_',
    events: 10_000,
    window: 8,
    rate: null,
  });
  if (published.failed > 0) problems.push('the hanging webhook’s events were not published');
  const beside = await latencyOnly(job);
  await world.pool.query(`update webhook_endpoints set is_active = false, revision = revision + 1 where user_id = 'hang_0'`);
  await world.pool.query(
    `update deliveries set status = 'cancelled', next_attempt_at = null, cancelled_at = now() where user_id = 'hang_0' and status in ('pending', 'retrying')`,
  );
  // Before and after, as the yardstick.
  const baselineP95 = ((baseline['p95'] ?? 0) + ((await latencyOnly(job))['p95'] ?? 0)) / 2;
  await markVerified();
  return {
    baseline_p95: baselineP95,
    beside_p50: beside['p50'] ?? 0,
    beside_p95: beside['p95'] ?? 0,
    beside_p99: beside['p99'] ?? 0,
    ratio: (beside['p95'] ?? 0) / baselineP95,
  };
}

async function latencyOnly(job: Omit<PublishJob, 'grpc' | 'token'>): Promise<Record<string, number>> {
  await world.resetReceiver();
  await publish(job);
  await settled(job.events);
  return percentiles((await world.report()).latenciesMs['one'] ?? [], '');
}

/** The same events for one webhook and for sixty-four, by turns. */
async function oneWebhook(job: Omit<PublishJob, 'grpc' | 'token'>): Promise<Record<string, number>> {
  await world.createWebhook('single_0', '/one/single');
  const many = [await throughput(job, 1)];
  const one = [await throughput({ ...job, users: 1, userPrefix: 'single_' }, 1)];
  many.push(await throughput(job, 1));
  one.push(await throughput({ ...job, users: 1, userPrefix: 'single_' }, 1));
  const [perSecond, manyPerSecond] = [mean(one, 'per_second'), mean(many, 'per_second')];
  return {
    per_second: perSecond,
    many_per_second: manyPerSecond,
    ratio: perSecond / manyPerSecond,
    service_us: mean(one, 'service_us'),
    many_service_us: mean(many, 'service_us'),
    postgres_us: mean(one, 'postgres_us'),
    many_postgres_us: mean(many, 'postgres_us'),
    redis_us: mean(one, 'redis_us'),
    many_redis_us: mean(many, 'redis_us'),
  };
}

async function withMillionWaiting(job: Omit<PublishJob, 'grpc' | 'token'>): Promise<Record<string, number>> {
  const before = [await throughput(job, 1), await throughput(job, 1)];
  const webhookId = await world.createWebhook('waiting', '/one/waiting');
  await insertWaiting(webhookId, WAITING_DELIVERIES);
  await world.redis.flushall();
  const emptyBytes = await redisBytes();
  const startedAt = performance.now();
  while ((await redisWaiting()) < WAITING_DELIVERIES) await wait(100);
  const rebuildSeconds = (performance.now() - startedAt) / 1000;
  const bytes = (await redisBytes()) - emptyBytes;
  await wait(2000);
  const after = [await throughput(job, 1), await throughput(job, 1)];
  return {
    waiting: WAITING_DELIVERIES,
    rebuild_seconds: rebuildSeconds,
    redis_bytes_each: bytes / WAITING_DELIVERIES,
    before_per_second: mean(before, 'per_second'),
    per_second: mean(after, 'per_second'),
    before_ratio: mean(before, 'ratio'),
    ratio: mean(after, 'ratio'),
    // By the yardstick beside each: in the minute between both the machine's own speed changes by more than the bar allows.
    kept: mean(after, 'ratio') / mean(before, 'ratio'),
    before_service_us: mean(before, 'service_us'),
    service_us: mean(after, 'service_us'),
    before_postgres_us: mean(before, 'postgres_us'),
    postgres_us: mean(after, 'postgres_us'),
    rss_mb: Math.max(...after.map((figures) => figures['rss_mb'] ?? 0)),
  };
}

function mean(figures: readonly Record<string, number>[], name: string): number {
  return figures.reduce((sum, figure) => sum + (figure[name] ?? 0), 0) / figures.length;
}

function prefixed(prefix: string, figures: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [`${prefix}_${name}`, value]));
}

async function insertWaiting(webhookId: string, count: number): Promise<void> {
  await world.pool.query('set statement_timeout = 0');
  await world.pool.query(
    `with made as (
       insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
       select 'event_' || substr(id_floor('event', now()), 7, 10) || lpad(n::text, 16, '0'), 'order.created', '{"order_id":"order_1"}',
         now(), 'bench', '{waiting}', false
       from generate_series(1, $2::integer) n returning id)
     insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, retries_used, next_attempt_at)
     select 'delivery_' || substr(id, 7), id, $1, 'waiting', 'order.created', 'pending', 0, 0,
       now() + interval '6 hours' + row_number() over () * interval '1 millisecond' from made`,
    [webhookId, count],
  );
  await world.pool.query('analyze deliveries');
}

async function redisWaiting(): Promise<number> {
  let waiting = 0;
  for (const key of await world.redis.keys('*:ep:*')) waiting += await world.redis.zcard(key);
  return waiting;
}

async function redisBytes(): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await world.redis.info('memory'))?.[1] ?? 0);
}

function percentiles(values: readonly number[], prefix: string): Record<string, number> {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { [`${prefix}p50`]: at(0.5), [`${prefix}p95`]: at(0.95), [`${prefix}p99`]: at(0.99) };
}

function format(figures: Readonly<Record<string, number>>): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name}=${value >= 100 ? Math.round(value) : value.toFixed(2)}`)
    .join('  ');
}
