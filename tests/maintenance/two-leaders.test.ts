// Two processes that both believe to lead, for the moments in which a lost leadership is not noticed: nothing they do at once is unsafe.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { idFloor, newId } from '../../src/domain/ids.ts';
import { InsertLeaseExpiry } from '../../src/maintenance/insert-lease-expiry.ts';
import { Housekeeper } from '../../src/maintenance/housekeeper.ts';
import { partitionDays } from '../../src/maintenance/partitions.ts';
import { Reconciler } from '../../src/maintenance/reconciler.ts';
import { RedisConnection } from '../../src/persistence/redis.ts';
import { RedisScheduler } from '../../src/schedule/redis-scheduler.ts';
import { CloseWebhook } from '../../src/service/close-webhook.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createTestRedis, type TestRedis } from '../fixtures/redis.ts';
import { newWebhookId } from '../schedule/rows.ts';

const LEASE_MS = 1000;
const DAY_MS = 86_400_000;
const LEASED = 2000;
const SCHEDULED = 3000;
const WAITING = 1500;

let database: TestDatabase;
let server: TestRedis;
beforeAll(async () => {
  database = await createTestDatabase();
  server = await createTestRedis();
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

/** What one leader does, counted together with the other's. */
async function startLeader(counts: { scheduled: number; cancelled: number; errors: unknown[] }) {
  const { pool } = database;
  const redis = new RedisConnection(server.config, () => undefined);
  await redis.connect();
  const index = new RedisScheduler(redis, { ...server.config, leaseMs: LEASE_MS });
  const onError = (error: unknown): void => void counts.errors.push(error);
  const isLeading = (): boolean => true;
  const closing = new CloseWebhook({
    pool,
    isWatched: () => false,
    publish: () => undefined,
    onCancelled: (count) => (counts.cancelled += count),
    log: silentLogger,
  });
  const parts = [
    new Housekeeper({
      pool,
      isLeading,
      retentionDays: 30,
      statsDays: 400,
      onWrongSums: () => undefined,
      now: Date.now,
      log: silentLogger,
      onHeldExpired: () => undefined,
      endWaiting: (webhookId) => closing.endWaiting(webhookId),
    }),
    new InsertLeaseExpiry({
      pool,
      scheduler: index,
      isLeading,
      intervalMs: 10,
      leaseMs: LEASE_MS,
      now: Date.now,
      onScheduled: (count) => (counts.scheduled += count),
      onBroughtForward: () => undefined,
      onOldTransaction: () => undefined,
      onError,
    }),
    new Reconciler({
      pool,
      index,
      isLeading,
      intervalMs: 50,
      leaseMs: LEASE_MS,
      now: Date.now,
      onRequeued: () => undefined,
      onError,
    }),
  ];
  for (const part of parts) await part.start();
  return {
    index,
    async stop(): Promise<void> {
      for (const part of parts) await part.drain();
      await closing.drain();
      redis.close();
    },
  };
}

async function insert(count: number, madeAtMs: number, webhookId: string, columns: string): Promise<void> {
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at, leased_until)
     select $1 || substr(md5($2 || n::text), 1, 16), 'event_1', $2, 'alice', 'order.created', ${columns} from generate_series(1, $3::integer) n`,
    [idFloor('delivery', madeAtMs).slice(0, 19), webhookId, count],
  );
}

test('expiring insert leases, reconciling, partitions, retention and cancelling lose nothing, repeat nothing and drop nothing unfinished', async () => {
  const nowMs = Date.now();
  const [open, closed, old] = [newWebhookId(), newWebhookId(), newWebhookId()];
  await database.pool.query(`select ensure_partitions((now() at time zone 'utc')::date - 40, 2)`);
  await database.pool.query('update adoption set adopted_below = $1', [idFloor('delivery', nowMs - 3_600_000)]);
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, is_active)
     values ($1, 'alice', 'https://example.com/', '["order.created"]', 's', 'h', false)`,
    [closed],
  );
  await insert(LEASED, nowMs - 60_000, open, `null, now() - interval '50 seconds'`);
  await insert(SCHEDULED, nowMs - 30_000, open, `now() + interval '10 minutes', null`);
  await insert(WAITING, nowMs - 30_000, closed, `now() + interval '10 minutes', null`);
  await insert(1, nowMs - 40 * DAY_MS, old, `now() + interval '10 minutes', null`);
  const owedId = newId('delivery', nowMs - 39 * DAY_MS);
  await database.pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, delivered_at)
     values ($1, 'event_1', 'webhook_1', 'alice', 'order.created', 'delivered', now())`,
    [owedId],
  );
  const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');

  const counts = { scheduled: 0, cancelled: 0, errors: [] as unknown[] };
  const leaders = await Promise.all([startLeader(counts), startLeader(counts)]);
  const [{ index }] = leaders;
  const scheduledInRedis = async (): Promise<number> => {
    const redis = new RedisConnection(server.config, () => undefined);
    await redis.connect();
    try {
      const keys = await redis.commands.keys('*:ep:*');
      return (await Promise.all(keys.map((key) => redis.commands.zcard(key)))).reduce((sum, n) => sum + n, 0);
    } finally {
      redis.close();
    }
  };
  const isCounted = (): true => {
    if (counts.scheduled >= LEASED && counts.cancelled >= WAITING) return true;
    throw new Error(`${counts.scheduled} scheduled, ${counts.cancelled} cancelled, ${counts.errors.join('; ')}`);
  };
  await eventually(isCounted, { what: 'the end of insert leases and of what a closed webhook had', deadlineMs: 60_000 });
  await eventually(async () => (await index.indexState()) === 'complete', { what: 'a complete index', deadlineMs: 30_000 });
  await eventually(async () => (await scheduledInRedis()) >= LEASED + SCHEDULED + 1, {
    what: 'the schedule',
    deadlineMs: 30_000,
  });
  await eventually(async () => !(await partitionDays(database.pool)).includes(dayOf(nowMs - 39 * DAY_MS)), {
    what: 'retention',
    deadlineMs: 30_000,
  });
  await Promise.all(leaders.map((leader) => leader.stop()));

  expect(counts).toEqual({ scheduled: LEASED, cancelled: WAITING, errors: [] });
  expect(await partitionDays(database.pool)).toContain(dayOf(nowMs - 40 * DAY_MS));
  const { rows } = await database.pool.query<{ status: string; n: number }>(
    'select status, count(*)::integer as n from deliveries group by status order by status',
  );
  expect(rows).toEqual([
    { status: 'cancelled', n: WAITING },
    { status: 'pending', n: LEASED + SCHEDULED + 1 },
  ]);
}, 120_000);
