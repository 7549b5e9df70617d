// `node bench/live.ts [--quick]`: what watching costs the deliveries, and how soon watchers know. Bounded in time; about two minutes.
import { writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { RedisConnection } from '../src/persistence/redis.ts';
import { createStatusBus } from '../src/realtime/create-status-bus.ts';
import type { StatusUpdate } from '../src/realtime/status-update.ts';
import { quietTelemetry } from '../src/telemetry/telemetry.ts';
import type { PublishJob, PublishReport } from './publisher.ts';
import type { WatchersJob, WatchersReport } from './watchers.ts';
import { Child, startWorld, type World } from './world.ts';

const { values: flags } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const WATCHERS = flags.quick ? 500 : 2000;
const RATE = 500;
const SECONDS = flags.quick ? 5 : 20;
/** Enough for some seconds at full speed. */
const FLOOD_EVENTS = flags.quick ? 5000 : 20_000;
const FLOODS = 3;
const SETTLE_DEADLINE_MS = 60_000;
const USER_PREFIX = 'live_';

const world = await startWorld();
const publisher = (await Child.start('./publisher.ts')).child;
const watchers = (await Child.start('./watchers.ts')).child;
const rows: Record<string, Record<string, number>> = {};
try {
  for (let n = 0; n < WATCHERS; n += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, index) => world.createWebhook(`${USER_PREFIX}${n + index}`, '/live')));
  }
  tell('bus, nobody watching', await busCost());
  await flood();
  const [alone, watched] = [[] as Flood[], [] as Flood[]];
  let rssMb = { before: 0, with: 0 };
  for (let round = 0; round < FLOODS; round += 1) {
    alone.push(await flood());
    rssMb = { ...rssMb, before: await world.rssMb() };
    await openWatchers(WATCHERS, 1, 0);
    rssMb = { ...rssMb, with: await world.rssMb() };
    watched.push(await flood());
    await watchers.ask({ type: 'close' });
    await eventually(async () => (await status()).connections === 0);
  }
  tell('full speed', {
    delivered_per_second_alone: median(alone.map(({ rate }) => rate)),
    delivered_per_second_watched: median(watched.map(({ rate }) => rate)),
    loss_percent: 100 * (1 - median(watched.map(({ rate }) => rate)) / median(alone.map(({ rate }) => rate))),
    service_cpu_us_a_delivery_alone: median(alone.map(({ cpuMicros }) => cpuMicros)),
    service_cpu_us_a_delivery_watched: median(watched.map(({ cpuMicros }) => cpuMicros)),
    postgres_cpu_us_a_delivery_alone: median(alone.map(({ postgresMicros }) => postgresMicros)),
    postgres_cpu_us_a_delivery_watched: median(watched.map(({ postgresMicros }) => postgresMicros)),
    rss_mb_without_watchers: rssMb.before,
    rss_mb_with_watchers: rssMb.with,
  });
  tell(`${WATCHERS} users watching their own, ${RATE}/s`, await steady(WATCHERS, 1, 0, RATE));
  const crowd = WATCHERS / 20;
  tell(`20 users with ${crowd} watchers each, ${RATE / 10}/s`, await steady(20, crowd, 0, RATE / 10));
  tell('the same, one of them never reading', await steady(20, crowd, 1, RATE / 10));
} finally {
  publisher.stop();
  watchers.stop();
  await world.stop();
}
const result = { date: new Date().toISOString(), node: process.version, rows };
await writeFile(fileURLToPath(new URL('./live-results.json', import.meta.url)), `${JSON.stringify(result, null, 2)}\n`);

function tell(row: string, figures: Record<string, number>): void {
  rows[row] = Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value * 1000) / 1000]));
  console.log(row, rows[row]);
}

/** What the engine pays for each delivery without a watcher. */
async function busCost(): Promise<Record<string, number>> {
  const { host = '127.0.0.1', port = 0 } = world.redis.options;
  const config = {
    host,
    port,
    username: null,
    password: null,
    db: 0,
    tls: false,
    clusterNodes: [],
    keyPrefix: 'bench:',
    shards: 1,
  };
  const redis = new RedisConnection(config, () => {});
  await redis.connect();
  const bus = createStatusBus({ redis, keyPrefix: config.keyPrefix, telemetry: quietTelemetry() });
  const update: StatusUpdate = {
    deliveryId: 'delivery_01hzy3m7q8k9n2p4r5s6t7v8w9',
    webhookId: 'webhook_01hzy3m7q8k9n2p4r5s6t7v8w9',
    userId: 'user123',
    eventId: 'event_01hzy3m7q8k9n2p4r5s6t7v8w9',
    eventType: 'order.created',
    status: 'delivered',
    attemptCount: 1,
    httpStatus: 200,
    response: 'ok',
    errorCode: null,
    errorMessage: null,
    nextAttemptAtMs: null,
    deliveredAtMs: 1_763_900_000_000,
    failedAtMs: null,
    createdAtMs: 1_763_900_000_000,
    updatedAtMs: 1_763_900_000_000.5,
  };
  const figures: Record<string, number> = {};
  for (const size of [1, 50]) {
    const batch = Array.from({ length: size }, () => update);
    const before = process.cpuUsage();
    let told = 0;
    // For two seconds, so that the batch that asks Redis once a second is in it; with a turn of the loop after each batch.
    for (const startedAt = performance.now(); performance.now() - startedAt < 2000; told += size * 100) {
      for (let n = 0; n < 100; n += 1) bus.publish(batch);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { user, system } = process.cpuUsage(before);
    figures[`us_a_delivery_in_batches_of_${size}`] = (user + system) / told;
  }
  redis.close();
  return figures;
}

interface Flood {
  readonly rate: number;
  readonly cpuMicros: number;
  readonly postgresMicros: number;
}

/** Publishes as fast as it goes and waits until all is delivered. */
async function flood(): Promise<Flood> {
  await world.resetReceiver();
  const before = await world.cpuSeconds();
  const startedAt = performance.now();
  const publishing = publish({ mode: 'batch', events: FLOOD_EVENTS, window: 8, rate: null, users: WATCHERS });
  await eventually(async () => (await world.report()).requests >= FLOOD_EVENTS);
  const seconds = (performance.now() - startedAt) / 1000;
  await publishing;
  await settled();
  const after = await world.cpuSeconds();
  const micros = (process: 'service' | 'postgres'): number => ((after[process] - before[process]) / FLOOD_EVENTS) * 1e6;
  return { rate: FLOOD_EVENTS / seconds, cpuMicros: micros('service'), postgresMicros: micros('postgres') };
}

async function steady(users: number, each: number, sleepers: number, rate: number): Promise<Record<string, number>> {
  await openWatchers(users, each, sleepers);
  const before = await world.cpuSeconds();
  const events = rate * SECONDS;
  const startedAt = performance.now();
  await publish({ mode: 'unary', events, window: 64, rate, users });
  const seconds = (performance.now() - startedAt) / 1000;
  await settled();
  // The last heartbeat of the feed's own reading of PostgreSQL, which would send what the bus had lost.
  await wait(2000);
  const { buffered, dropped } = await status();
  const rssMb = await world.rssMb();
  const after = await world.cpuSeconds();
  const report = await watchers.ask<WatchersReport>({ type: 'close' } satisfies WatchersJob);
  await eventually(async () => (await status()).connections === 0);
  const sorted = report.latenciesMs.toSorted((a, b) => a - b);
  const perUser = events / users;
  return {
    deliveries_per_second: events / seconds,
    updates: report.updates,
    updates_missed: perUser * each * users - perUser * sleepers - report.updates,
    repeats: report.repeats,
    gaps: report.gaps,
    closed_by_us: report.closed,
    p50_ms: quantile(sorted, 0.5),
    p99_ms: quantile(sorted, 0.99),
    max_ms: sorted.at(-1) ?? 0,
    buffered_at_the_end: buffered,
    dropped,
    service_cpu_percent: (100 * (after.service - before.service)) / (seconds + 2),
    rss_mb: rssMb,
  };
}

async function openWatchers(users: number, each: number, sleepers: number): Promise<void> {
  const tokens = await Promise.all(Array.from({ length: users }, (_, n) => world.tokenOf(`${USER_PREFIX}${n}`)));
  const url = `${world.httpUrl.replace('http', 'ws')}/ws`;
  await watchers.ask({ type: 'open', url, tokens, each, sleepers } satisfies WatchersJob);
  await eventually(async () => (await status()).connections === users * each);
}

function publish(job: Omit<PublishJob, 'grpc' | 'token' | 'userPrefix' | 'paddingBytes'>): Promise<PublishReport> {
  const common = { grpc: world.grpc, token: world.token, userPrefix: USER_PREFIX, paddingBytes: 0 };
  return publisher.ask<PublishReport>({ ...common, ...job } satisfies PublishJob);
}

async function status(): Promise<{ connections: number; buffered: number; dropped: number }> {
  const answer = await fetch(`${world.httpUrl}/ws/status`, { headers: { authorization: `Bearer ${world.token}` } });
  return (await answer.json()) as Awaited<ReturnType<typeof status>>;
}

/** Until every delivery is on record as delivered. */
async function settled(): Promise<void> {
  await eventually(async () => {
    const { rows: left } = await (world satisfies World).pool.query(
      `select 1 from deliveries where status <> 'delivered' limit 1`,
    );
    return left.length === 0;
  });
}

async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + SETTLE_DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${SETTLE_DEADLINE_MS} ms: ${condition.toString()}`);
    await wait(20);
  }
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}
