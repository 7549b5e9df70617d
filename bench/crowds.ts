// Scenarios of the schedule: one webhook with a backlog, a crowd that gets broadcasts, and a crowd whose receivers are away.
import { setTimeout as wait } from 'node:timers/promises';
import type { PublishJob, PublishReport } from './publisher.ts';
import type { World } from './world.ts';

/** Calls that create webhooks at once. */
const CREATING = 16;
/** Of one developer, below what one may have. */
const WEBHOOKS_OF_USER = 500;
/** The receiver of /delayed responds after so long, in milliseconds; a timer and two processes come on top. */
const DELAYED_MS = 5;
const OVERHEAD_MS = 1.5;
/** As many requests to one webhook at once as the service sends by default. */
const ENDPOINT_CONCURRENCY = 16;
const BROADCASTS = 31;
/** Before the due deliveries that were put into the schedule are due, in milliseconds: all of them are in it by then. */
const LEAD_MS = 3000;
/** Failed tries until the crowd is known to be away, in milliseconds. */
const DYING_MS = 12_000;
/** Deliveries of the healthy webhook a second, and for how many seconds. */
const HEALTHY_RATE = 20;
const HEALTHY_SECONDS = 10;

export interface Bench {
  readonly world: World;
  readonly problems: string[];
  readonly publish: (job: Omit<PublishJob, 'grpc' | 'token'>) => Promise<PublishReport>;
  /** Resolves when so many more deliveries, all since the receiver was reset, are recorded as delivered. */
  readonly settled: (more: number) => Promise<void>;
  /** Leaves what there is by now out of the comparison of attempts with requests. */
  readonly markVerified: () => Promise<void>;
}

/** One webhook with so many due deliveries, in Redis: what its requests at a time allow, and how much of it is reached. */
export async function backlogOfOne(
  { world, settled, markVerified }: Bench,
  deliveries: number,
): Promise<Record<string, number>> {
  const webhookId = await world.createWebhook('backlog', '/delayed/backlog');
  // The first requests compile and open connections.
  const rateOf = async (count: number): Promise<number> => {
    await world.resetReceiver();
    const dueAtMs = Date.now() + LEAD_MS;
    await insertDue(
      world,
      webhookId,
      'backlog',
      Array.from({ length: count }, () => dueAtMs),
    );
    await settled(count);
    return (count / (Date.now() - dueAtMs)) * 1000;
  };
  await rateOf(2000);
  const perSecond = await rateOf(deliveries);
  await markVerified();
  const allowed = (ENDPOINT_CONCURRENCY / (DELAYED_MS + OVERHEAD_MS)) * 1000;
  return { per_second: perSecond, allowed_per_second: allowed, ratio: perSecond / allowed };
}

/** Broadcasts to a crowd, all at once, and the publishes beside them. */
export async function broadcasts(bench: Bench, webhooks: number): Promise<Record<string, number>> {
  const { world, problems, publish, settled, markVerified } = bench;
  await createCrowd(world, webhooks);
  const neighbours = {
    mode: 'unary',
    users: 64,
    userPrefix: 'one_',
    window: 0,
    rate: 50,
    events: 250,
    paddingBytes: 0,
  } as const;
  await world.resetReceiver();
  const alone = await publish(neighbours);
  await settled(neighbours.events);
  await world.resetReceiver();
  const besides = publish(neighbours);
  const answers = await Promise.all(Array.from({ length: BROADCASTS }, () => broadcast(world)));
  const beside = await besides;
  if (beside.failed > 0) problems.push(`broadcast: ${beside.failed} events beside it were not published`);
  const taken = answers.filter(({ status }) => status === 202);
  const refused = answers.filter(({ status }) => status === 429);
  const failed = answers.length - taken.length - refused.length;
  if (failed > 0) problems.push(`broadcast: ${failed} failed`);
  await settled(neighbours.events + taken.reduce((sum, { deliveries }) => sum + deliveries, 0));
  await markVerified();
  const p99 = ({ latenciesMs }: PublishReport): number => quantile(latenciesMs, 0.99);
  return {
    webhooks,
    taken: taken.length,
    refused: refused.length,
    longest_ms: Math.max(...taken.map(({ ms }) => ms)),
    longest_refusal_ms: Math.max(0, ...refused.map(({ ms }) => ms)),
    alone_p99: p99(alone),
    beside_p99: p99(beside),
    ratio: p99(beside) / p99(alone),
  };
}

/** Due retries of one healthy webhook, alone and beside the crowd of `broadcasts`, whose receivers have gone away. */
export async function manyDead({ world, settled, markVerified }: Bench): Promise<Record<string, number>> {
  const healthy = await world.createWebhook('healthy', '/healthy/0');
  const p95 = async (): Promise<number> => {
    const from = Date.now() + LEAD_MS;
    const count = HEALTHY_RATE * HEALTHY_SECONDS;
    await world.resetReceiver();
    await insertDue(
      world,
      healthy,
      'healthy',
      Array.from({ length: count }, (_, n) => from + (n * 1000) / HEALTHY_RATE),
    );
    await settled(count);
    return quantile((await world.report()).latenciesMs['healthy'] ?? [], 0.95);
  };
  const alone = await p95();
  // Nothing listens on the port of discard.
  const { rows: crowd } = await world.pool.query<{ id: string; user_id: string }>(
    `update webhook_endpoints set url = 'http://127.0.0.1:9/', revision = revision + 1, retry_policy = '{"retry_delay": 2, "max_retries": 20}'
     where user_id like 'crowd\\_%' returning id, user_id`,
  );
  for (const { id, user_id: userId } of crowd) await insertDue(world, id, userId, [Date.now(), Date.now(), Date.now()]);
  await wait(DYING_MS);
  const beside = await p95();
  await world.pool.query(
    `update webhook_endpoints set is_active = false, revision = revision + 1 where user_id like 'crowd\\_%'`,
  );
  await world.pool.query(
    `update deliveries set status = 'cancelled', next_attempt_at = null, cancelled_at = now()
     where user_id like 'crowd\\_%' and status in ('pending', 'retrying')`,
  );
  await markVerified();
  return { dead: crowd.length, alone_p95: alone, beside_p95: beside, ratio: beside / alone };
}

async function createCrowd(world: World, webhooks: number): Promise<void> {
  let next = 0;
  const create = async (): Promise<void> => {
    while (next < webhooks) {
      const n = next;
      next += 1;
      await world.createWebhook(`crowd_${Math.floor(n / WEBHOOKS_OF_USER)}`, `/crowd/${n}`);
    }
  };
  await Promise.all(Array.from({ length: CREATING }, create));
  await world.pool.query('analyze webhook_endpoints');
}

async function broadcast(world: World): Promise<{ status: number; deliveries: number; ms: number }> {
  const startedAt = performance.now();
  const answer = await fetch(`${world.httpUrl}/api/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${world.token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ event_type: 'order.created', data: { order_id: '1' }, audience: { broadcast: true } }),
  });
  const { deliveries = 0 } = (await answer.json()) as { deliveries?: number };
  return { status: answer.status, deliveries, ms: performance.now() - startedAt };
}

/** Due deliveries of one webhook, in the rows and in Redis. The receiver takes the moment when each is due for that when it was sent. */
async function insertDue(world: World, webhookId: string, userId: string, dueAtMs: readonly number[]): Promise<void> {
  const { rows } = await world.pool.query<{ id: string; due: number }>(
    `with due as (
       select substr(id_floor('event', now()), 7, 10) || substr(md5(random()::text), 1, 16) as suffix, floor(ms) as ms
       from unnest($3::float8[]) ms),
     stored as (
       insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
       select 'event_' || suffix, 'order.created', '{"sent":' || ms || '}', now(), 'bench', array[$2], false from due)
     insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, retries_used, next_attempt_at)
     select 'delivery_' || suffix, 'event_' || suffix, $1, $2, 'order.created', 'retrying', 1, 1, to_timestamp(ms / 1000.0) from due
     returning id, (extract(epoch from next_attempt_at) * 1000)::float8 as due`,
    [webhookId, userId, dueAtMs],
  );
  const webhookKey = webhookId.slice('webhook_'.length);
  for (let at = 0; at < rows.length; at += 1000) {
    const part = rows.slice(at, at + 1000).flatMap(({ id, due }) => [due, id.slice('delivery_'.length)]);
    await world.redis.zadd(`{wh:0}:ep:${webhookKey}`, ...part);
  }
  await world.redis.zadd('{wh:0}:ready', 'LT', Math.min(...rows.map(({ due }) => due)), webhookKey);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
