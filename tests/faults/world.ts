// One fault's world: stores, a sink, an API process and two workers, a publisher that keeps book, and the verdict over it all.
import { setTimeout as wait } from 'node:timers/promises';
import { DEVELOPMENT_JWT_SECRET } from '../../src/config.ts';
import { mintToken } from '../../src/security/tokens.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, spawnProcess, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startSink, type Sink } from './sink.ts';
import { PostgresServer, RedisServer } from './stores.ts';

/** The settings that the pass criteria speak of, in seconds. */
export const TIMEOUT = 2;
export const LEASE = 5;
export const RECONCILE = 2;
export const RETRY_DELAY = 1;
/** After so long everything has come to its end, whatever happened: all of the above several times over, for a busy machine. */
export const SETTLE_MS = 60_000;

export interface PublishRecord {
  readonly key: string;
  readonly startedAtMs: number;
  readonly durationMs: number;
  /** 0 when there was no answer. */
  readonly status: number;
  readonly eventId: string | null;
  readonly deliveries: number;
}

export function tokenOf(user: string, role: 'developer' | 'admin'): Promise<string> {
  const tokens = { secret: DEVELOPMENT_JWT_SECRET, expirationSeconds: 7200, issuer: null, audience: null, jwksUrl: null };
  return mintToken(tokens, { user, role });
}

export class World {
  readonly postgres: PostgresServer;
  readonly redis: RedisServer;
  readonly sink: Sink;
  readonly published: PublishRecord[] = [];
  readonly #processes = new Set<ServiceProcess>();
  readonly #env: Record<string, string>;
  readonly #undo: (() => Promise<void>)[] = [];
  /** Of an admin. */
  token = '';
  #sequence = 0;
  api!: ServiceProcess;
  w1!: ServiceProcess;
  w2!: ServiceProcess;

  private constructor(postgres: PostgresServer, redis: RedisServer, sink: Sink, overrides: Record<string, string>) {
    this.postgres = postgres;
    this.redis = redis;
    this.sink = sink;
    this.#env = {
      ENVIRONMENT: 'test',
      LOG_LEVEL: 'warn',
      WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8',
      WEBHOOK_ALLOW_HTTP: 'true',
      WEBHOOK_TIMEOUT: String(TIMEOUT),
      WEBHOOK_LEASE: String(LEASE),
      WEBHOOK_RECONCILE_INTERVAL: String(RECONCILE),
      WEBHOOK_RETRY_DELAY: String(RETRY_DELAY),
      WEBHOOK_SECRET_KEYS: 'faults:MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=',
      RATE_LIMIT_PER_MINUTE: '100000000',
      ...envOf(postgres.config, redis.config),
      ...overrides,
    };
  }

  static async create(overrides: Record<string, string> = {}): Promise<World> {
    const [postgres, redis, sink] = await Promise.all([PostgresServer.start(), RedisServer.start(), startSink()]);
    const world = new World(postgres, redis, sink, overrides);
    world.token = await tokenOf('faults', 'admin');
    process.setMaxListeners(0);
    return world;
  }

  /** An API process and two workers. */
  async startProcesses(): Promise<void> {
    // The first one migrates.
    this.api = await this.startProcess('api');
    [this.w1, this.w2] = await Promise.all([this.startProcess('worker'), this.startProcess('worker')]);
  }

  async startProcess(role: 'api' | 'worker' | 'all', env: Record<string, string> = {}): Promise<ServiceProcess> {
    const started = await startProcess({ ...this.#env, ROLE: role, ...env });
    this.#processes.add(started);
    return started;
  }

  /** The same without the wait for readiness. */
  async spawnProcess(role: 'api' | 'worker', env: Record<string, string> = {}): Promise<ServiceProcess> {
    const spawned = await spawnProcess({ ...this.#env, ROLE: role, ...env });
    this.#processes.add(spawned);
    return spawned;
  }

  /** Another API process at the address of the one that is gone. */
  async restartApi(env: Record<string, string> = {}): Promise<void> {
    this.api = await this.startProcess('api', { SERVER_PORT: new URL(this.api.http).port, ...env });
  }

  /** The processes that are still running. */
  get running(): ServiceProcess[] {
    return [...this.#processes].filter((service) => !hasEnded(service));
  }

  async createWebhook(path: string, fields: Record<string, unknown> = {}): Promise<string> {
    const body = { url: `${this.sink.url}${path}`, events: ['order.created'], user_id: 'someone', ...fields };
    const answer = await this.rest('POST', '/api/v1/webhooks', body);
    if (answer.status !== 201) throw new Error(`webhook not created: ${JSON.stringify(answer.body)}`);
    return answer.body['id'] as string;
  }

  async rest(
    method: string,
    path: string,
    body?: object,
    api = this.api,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const answer = await fetch(`${api.http}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(40_000),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
  }

  /** One publish, entered into the book whatever comes of it. */
  async publish(options: { key?: string; userId?: string; api?: ServiceProcess } = {}): Promise<PublishRecord> {
    this.#sequence += 1;
    const key = options.key ?? `key-${this.#sequence}`;
    const body = {
      event_type: 'order.created',
      data: { order_id: key },
      audience: { user_ids: [options.userId ?? 'someone'] },
      idempotency_key: key,
    };
    const startedAtMs = Date.now();
    const answer = await this.rest('POST', '/api/v1/events', body, options.api).catch(() => ({
      status: 0,
      body: {} as Record<string, unknown>,
    }));
    const record: PublishRecord = {
      key,
      startedAtMs,
      durationMs: Date.now() - startedAtMs,
      status: answer.status,
      eventId: answer.status === 202 ? (answer.body['event_id'] as string) : null,
      deliveries: answer.status === 202 ? (answer.body['deliveries'] as number) : 0,
    };
    this.published.push(record);
    return record;
  }

  /** `count` publishes, `perSecond` of them started each second; resolves when all are answered. */
  async publishMany(count: number, perSecond: number, options: { userId?: string } = {}): Promise<PublishRecord[]> {
    const calls: Promise<PublishRecord>[] = [];
    const startedAt = performance.now();
    for (let n = 0; n < count; n += 1) {
      const dueAt = startedAt + (n / perSecond) * 1000;
      const ahead = dueAt - performance.now();
      if (ahead > 1) await wait(ahead);
      calls.push(this.publish(options));
    }
    return Promise.all(calls);
  }

  /** Publishes in batches, for backlogs; every event must be accepted. */
  async publishBacklog(count: number, userId = 'someone'): Promise<void> {
    const size = 500;
    for (let start = 0; start < count; start += size) {
      const events = Array.from({ length: Math.min(size, count - start) }, (_, n) => ({
        event_type: 'order.created',
        data: { order_id: `backlog-${start + n}` },
        audience: { user_ids: [userId] },
      }));
      const answer = await this.rest('POST', '/api/v1/events/batch', { events });
      if (answer.body['accepted'] !== events.length)
        throw new Error(`backlog not published: ${JSON.stringify(answer).slice(0, 300)}`);
      for (const { published } of answer.body['results'] as { published: { event_id: string; deliveries: number } }[]) {
        const { event_id: eventId, deliveries } = published;
        this.published.push({ key: eventId, startedAtMs: 0, durationMs: 0, status: 202, eventId, deliveries });
      }
    }
  }

  /** A metric, summed over the processes that run and over labels. */
  async metric(name: string, from: readonly ServiceProcess[] = this.running): Promise<number> {
    const texts = await Promise.all(from.map(async (service) => (await fetch(service.metrics)).text()));
    return texts
      .flatMap((text) => [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+-]+)`, 'gm'))])
      .reduce((sum, match) => sum + Number(match[1]), 0);
  }

  async count(sql: string): Promise<number> {
    const [row] = await this.postgres.query<{ n: number }>(`select count(*)::integer as n from ${sql}`);
    return row?.n ?? 0;
  }

  /** Deliveries that are not at their end. */
  pending(): Promise<number> {
    return this.count(`deliveries where status in ('pending', 'retrying')`);
  }

  /** Resolves when no delivery is on its way any more. */
  async settle(deadlineMs = SETTLE_MS): Promise<void> {
    await eventually(async () => (await this.pending()) === 0, {
      what: 'every delivery at its end',
      deadlineMs,
      intervalMs: 100,
    }).catch(async (cause: unknown) => {
      throw new Error(`these did not come to an end: ${JSON.stringify(await this.#leftovers(), null, 1)}`, { cause });
    });
  }

  /** Where deliveries that wait are, in both stores and in the processes. */
  async #leftovers(): Promise<unknown> {
    const deliveries = await this.postgres.query(
      `select d.id, w.url, d.status, d.attempt_count, d.retries_used, d.error_code, d.next_attempt_at - now() as due_in, d.leased_until - now() as leased_for
       from deliveries d join webhook_endpoints w on w.id = d.webhook_id where d.status in ('pending', 'retrying') limit 10`,
    );
    const { client } = this.redis;
    const schedule = await Promise.all(
      (await client.keys('*wh:*')).map(async (key) =>
        (await client.type(key)) === 'zset'
          ? [key, await client.zcard(key), await client.zrange(key, '0', '4', 'WITHSCORES')]
          : key,
      ),
    ).catch(String);
    const processes = await Promise.all(
      this.running.map(async (service) => ({
        ready: await fetch(`${service.http}/readyz`).then((answer) => answer.text(), String),
        inFlight: await this.metric('inflight', [service]),
        unwritten: await this.metric('result_queue_rows', [service]),
        degraded: await this.metric('scheduler_degraded', [service]),
      })),
    );
    return { deliveries, waiting: await this.pending(), schedule, processes };
  }

  /** What else must be undone when PostgreSQL has stopped. */
  onClose(undo: () => Promise<void>): void {
    this.#undo.push(undo);
  }

  async close(): Promise<void> {
    await Promise.all(this.running.map((service) => service.kill()));
    await this.sink.close();
    await this.redis.kill();
    await this.postgres.stop('immediate');
    for (const undo of this.#undo.toReversed()) await undo();
    await this.postgres.close();
  }
}

function hasEnded(service: ServiceProcess): boolean {
  try {
    process.kill(service.pid, 0);
    return false;
  } catch {
    return true;
  }
}
