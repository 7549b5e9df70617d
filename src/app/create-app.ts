// The composition root: everything is built here, by hand, and started and stopped in order.
import type { Pool } from 'pg';
import type { Config, DatabaseConfig } from '../config.ts';
import { createAttempt } from '../delivery/attempt.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import { DELIVERY_SHARE, HttpClient, MAX_SOCKETS } from '../outbound/http-client.ts';
import { givenUpNotice, Notices } from '../delivery/notices.ts';
import { OutcomeStore, type DisabledWebhook } from '../delivery/outcome-store.ts';
import { createEndpointRateLimit } from '../delivery/endpoint-rate-limit.ts';
import { Recorder } from '../delivery/recorder.ts';
import { createTestSender } from '../delivery/test-send.ts';
import { WebhookDirectory } from '../delivery/webhook-directory.ts';
import { divideDescriptors, readDescriptorLimit, type DescriptorBudget } from './descriptor-budget.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { InsertLeaseExpiry } from '../maintenance/insert-lease-expiry.ts';
import { Backlog } from '../maintenance/backlog.ts';
import { Health } from '../maintenance/health.ts';
import { Housekeeper } from '../maintenance/housekeeper.ts';
import { Leader } from '../maintenance/leader.ts';
import { Reconciler } from '../maintenance/reconciler.ts';
import { Rescue } from '../maintenance/rescue.ts';
import { Summing } from '../maintenance/summing.ts';
import { reportUnknownKeys } from '../maintenance/secret-keys.ts';
import { DatabaseClock } from '../persistence/database-clock.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../embedded/embedded-postgres.ts';
import { Holder } from '../persistence/holder.ts';
import { prepareDatabase } from '../persistence/prepare-database.ts';
import type { Orm } from '../persistence/orm.ts';
import { connectionOptions, createPool } from '../persistence/pool.ts';
import { createReports } from '../persistence/reports.ts';
import { RedisConnection } from '../persistence/redis.ts';
import { batchSettings, outcomeSettings } from '../persistence/session.ts';
import { createStatusBus } from '../realtime/create-status-bus.ts';
import { StatusFeed } from '../realtime/status-feed.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import { FailoverScheduler } from '../schedule/failover-scheduler.ts';
import { PostgresScheduler } from '../schedule/postgres-scheduler.ts';
import { RedisPresence } from '../schedule/redis-presence.ts';
import { RedisScheduler } from '../schedule/redis-scheduler.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import { EgressPolicy } from '../security/egress-policy.ts';
import { GuardedTokens } from '../security/failed-tokens.ts';
import { RateLimit } from '../security/rate-limit.ts';
import { relaxedSettings } from '../security/relaxed-settings.ts';
import { loadOrCreateKeys, SecretBox } from '../security/secret-box.ts';
import { TokenVerifier } from '../security/tokens.ts';
import { createChangeQueue } from '../service/change-queue.ts';
import { CloseWebhook } from '../service/close-webhook.ts';
import type { ServiceContext } from '../service/context.ts';
import { Publisher } from '../service/publisher.ts';
import { Stages } from '../lifecycle/stages.ts';
import type { Logger } from '../telemetry/log.ts';
import { createTelemetry, type Telemetry } from '../telemetry/telemetry.ts';
import { createBodyBudget } from '../transport/body/body-budget.ts';
import { callChain } from '../transport/call/call-chain.ts';
import { consolePage } from '../transport/pages/console-page.ts';
import { createHttpServer } from '../transport/http/http-server.ts';
import { openApiRoutes } from '../transport/pages/openapi-routes.ts';
import { DEFAULT_LIMITS } from '../transport/listener/server-limits.ts';
import { webSocketRoutes } from '../transport/websocket/routes.ts';

/**
 * Connections of the way from publish to outcome, which no call for anything else can take: two publishes in flight, a claim, a load,
 * one for webhooks that are not in memory, for the clock and for health, and one for the reconciler.
 */
const BATCH_CONNECTIONS = 6;
/** Two batches of outcomes in flight, and the transactions that disable webhooks. */
const OUTCOME_CONNECTIONS = 4;
/** Connections of callers over gRPC: some for each process of a large mesh. */
const GRPC_CONNECTIONS = 4000;
/** Sockets of a part that this process has no use for: a worker's listener answers probes, an API's client sends tests. */
const SPARE_SOCKETS = 64;
/** What calls in flight get at least when deliveries have used up the grace of a shutdown, in milliseconds. */
const MIN_CLOSING_MS = 2000;
/** What must be left of a lease when an attempt ends, in milliseconds. */
const LEASE_RESERVE_MS = 2000;

export interface App extends LongRunning {
  /** Where it listens, once started; `http://host:port` and `host:port`. */
  readonly addresses: { readonly http: string; readonly grpc: string; readonly metrics: string };
  readonly database: DatabaseConfig;
  readonly log: Logger;
}

/** Builds the service and connects it to its stores; nothing is served before `start`. */
export async function createApp(config: Config): Promise<App> {
  const telemetry = createTelemetry(config);
  const relaxed = relaxedSettings(config);
  if (relaxed.length > 0) telemetry.log.warn({ settings: relaxed }, `production is relaxed by ${relaxed.join(', ')}`);
  const budget = divide(config, telemetry);
  const embedded = config.database === null ? await startEmbeddedPostgres(config.dataDir) : null;
  const database = config.database ?? embedded?.config;
  if (database === undefined) throw new Error('there is neither a configured nor an embedded database');
  const stores = await openStores(config, database, telemetry);
  const engine = createEngine(config, stores, telemetry, budget);
  const listeners = await createListeners(config, stores, engine, telemetry, budget);
  return assemble(config, telemetry, database, { embedded, stores, engine, listeners });
}

function divide(config: Config, { log }: Telemetry): DescriptorBudget {
  const { role, delivery } = config;
  const forDeliveries = Math.max(MAX_SOCKETS, Math.ceil(delivery.maxConcurrency / DELIVERY_SHARE));
  const budget = divideDescriptors(readDescriptorLimit(), {
    outbound: role === 'api' ? SPARE_SOCKETS : forDeliveries,
    http: role === 'worker' ? SPARE_SOCKETS : DEFAULT_LIMITS.maxConnections,
    grpc: role === 'worker' ? 0 : GRPC_CONNECTIONS,
  });
  if (budget.isReduced)
    log.warn(budget, 'this process may open few files and sockets (ulimit -n); each part gets a share of them');
  return budget;
}

type Stores = Awaited<ReturnType<typeof openStores>>;
type Engine = ReturnType<typeof createEngine>;
type Listeners = Awaited<ReturnType<typeof createListeners>>;

async function openStores(config: Config, database: DatabaseConfig, { log, events }: Telemetry) {
  await prepareDatabase(database);
  const onError = (error: Error): void => events.storeFailed('database', error);
  const orm = config.role === 'worker' ? null : await openOrm(database, onError);
  const pool: Pool = createPool(database, onError);
  const reports = createReports(database, onError);
  const batchPool = createPool(database, onError, { max: BATCH_CONNECTIONS, settings: batchSettings });
  const outcomePool = createPool(database, onError, { max: OUTCOME_CONNECTIONS, settings: outcomeSettings });
  let skewMs = 0;
  const clock = new DatabaseClock({
    pool: batchPool,
    onSkew: (measured) => {
      skewMs = measured;
      events.clockSkew(measured);
    },
    onError: (error) => events.storeFailed('database', error),
  });
  const redis =
    config.redis === null ? null : new RedisConnection(config.redis, (message) => log.warn({ store: 'redis' }, message));
  const holder = new Holder({
    connection: connectionOptions(database),
    leaseMs: config.delivery.leaseMs,
    onError: (error) => log.warn({ err: error }, 'the session that says that this process lives was lost or not opened'),
  });
  return { database, orm, pool, reports, batchPool, outcomePool, clock, clockSkewMs: () => skewMs, holder, redis };
}

/** A worker answers no call that needs it, and starts without it 15 MB smaller. */
async function openOrm(database: DatabaseConfig, onError: (error: Error) => void): Promise<Orm> {
  const { createOrm } = await import('../persistence/orm.ts');
  return createOrm(database, onError);
}

function createSchedule(config: Config, stores: Stores, { log, events }: Telemetry) {
  const { leaseMs } = config.delivery;
  const postgres = new PostgresScheduler(stores.batchPool, { leaseMs, holder: () => stores.holder.number });
  if (config.redis === null || stores.redis === null) {
    return { scheduler: postgres as Scheduler, index: null, isRedisAway: null };
  }
  const index = new RedisScheduler(stores.redis, {
    keyPrefix: config.redis.keyPrefix,
    shards: config.redis.shards,
    leaseMs,
    holder: () => stores.holder.number,
    now: () => stores.clock.now(),
    onUnknownMember: (count) => events.unknownMembersRemoved(count),
  });
  const failover = new FailoverScheduler({
    redis: index,
    postgres,
    leaseMs,
    isWorker: config.role !== 'api',
    presence: new RedisPresence({
      pool: stores.batchPool,
      claims: config.role !== 'api',
      onError: (error) => events.storeFailed('database', error),
    }),
    onDegraded: (degraded, why) => events.schedulerDegraded(degraded, why),
    onError: (message, error) => log.warn({ err: error }, message),
    onFailure: (error) => events.storeFailed('redis', error),
  });
  return { scheduler: failover as Scheduler, index, isRedisAway: () => failover.isDegraded };
}

function createEngine(config: Config, stores: Stores, telemetry: Telemetry, budget: DescriptorBudget) {
  const { events, log, tracing } = telemetry;
  const secretBox = new SecretBox(loadOrCreateKeys(config));
  const policy = new EgressPolicy(config);
  const client = new HttpClient({
    policy,
    maxSockets: budget.outbound,
    onShortage: (shortage) => events.localShortage(shortage),
    now: () => stores.clock.now(),
  });
  const { scheduler, index, isRedisAway } = createSchedule(config, stores, telemetry);
  const directory = new WebhookDirectory(stores.batchPool, secretBox, config.delivery.retry);
  const notices = new Notices(config.notificationUrl, log);
  const aborting = new AbortController();
  const maxTimeoutMs = Math.max(config.delivery.retry.timeoutMs, config.delivery.leaseMs - LEASE_RESERVE_MS);
  const bus = createStatusBus({ redis: stores.redis, keyPrefix: config.redis?.keyPrefix ?? '', telemetry });
  const { pool, reports } = stores;
  const feed = new StatusFeed({ bus, pool, reports, telemetry, maxWatchersPerUser: config.maxWatchersPerUser });
  bus.onWebhookChanged((webhookId) => directory.forget(webhookId));
  const publishUpdates = (updates: readonly StatusUpdate[]): void => {
    bus.publish(updates);
    for (const update of updates) if (update.status === 'failed') notices.send(givenUpNotice(update));
  };
  const send = createAttempt({
    client,
    signatureHeader: config.delivery.signatureHeader,
    userAgent: `HomeChef-Webhooks/${config.version}`,
    maxTimeoutMs,
    signal: aborting.signal,
    now: () => stores.clock.now(),
    tracing,
  });
  const closing = new CloseWebhook({
    pool: stores.pool,
    isWatched: () => bus.hasListeners,
    publish: publishUpdates,
    onCancelled: (count) => events.deliveriesCancelled(count),
    log,
  });
  const onDisabled = (webhook: DisabledWebhook): void => {
    bus.announceWebhook(webhook.webhookId);
    bus.notify({ ...webhook, type: 'webhook_disabled', disabledAtMs: stores.clock.now() });
    events.endpointDisabled(webhook);
    const { webhookId, userId, reason } = webhook;
    void closing.endWaiting(webhookId);
    notices.send({
      type: 'webhook.disabled',
      data: { webhook_id: webhookId, user_id: userId, reason },
    });
  };
  const outcomes = new OutcomeStore({
    pool: stores.outcomePool,
    holderId: () => stores.holder.id,
    disableAfterMs: config.delivery.disableAfterMs,
    disableAfterFailures: config.delivery.disableAfterFailures,
    onDisabled,
    telemetry,
  });
  const recorder = new Recorder({
    record: (rows, returnsEachTime, isLockLikely) => outcomes.record(rows, returnsEachTime, isLockLikely),
    scheduler,
    publish: publishUpdates,
    isWatched: () => bus.hasListeners,
    isLost: (lease) => stores.holder.isLost(lease),
    onRetry: (delayMs) => dispatcher.wakeIn(delayMs),
    telemetry,
  });
  const dispatcher: Dispatcher = new Dispatcher({
    pool: stores.batchPool,
    scheduler,
    directory,
    recorder,
    send,
    cancel: (deliveryId) => closing.endOne(deliveryId),
    pace: createEndpointRateLimit(stores.redis, config.redis?.keyPrefix ?? ''),
    maxConcurrency: Math.min(config.delivery.maxConcurrency, Math.floor(budget.outbound * DELIVERY_SHARE)),
    endpointConcurrency: config.delivery.endpointConcurrency,
    leaseMs: config.delivery.leaseMs,
    holder: () => stores.holder.number,
    isLost: (lease) => stores.holder.isLost(lease),
    maxTimeoutMs,
    now: () => stores.clock.now(),
    shutdownGraceMs: config.shutdownGraceMs,
    abort: () => aborting.abort(),
    telemetry,
  });
  const publisher = new Publisher({
    pool: stores.batchPool,
    telemetry,
    insertLeaseFor: (published) => dispatcher.insertLeaseFor(published),
    onCommitted: (commit) => void dispatcher.accept(commit),
  });
  const testSender = createTestSender(directory, send);
  return {
    secretBox,
    policy,
    client,
    scheduler,
    index,
    isRedisAway,
    directory,
    notices,
    dispatcher,
    recorder,
    publisher,
    testSender,
    bus,
    feed,
    publishUpdates,
    closing,
  };
}

async function createListeners(
  config: Config,
  stores: Stores,
  engine: Engine,
  { log, events, tracing }: Telemetry,
  budget: DescriptorBudget,
) {
  const verifier = new TokenVerifier(config.tokens, (error) =>
    log.warn({ err: error }, 'the keys of JWT_JWKS_URL could not be fetched; those that are known stay in use'),
  );
  const tokens = new GuardedTokens(verifier);
  const verifyToken = (authorization: string | null, address: string) => tokens.verify(authorization, address);
  const keyPrefix = config.redis?.keyPrefix ?? '';
  const rate = new RateLimit(config.rateLimitPerMinute, stores.redis?.commands ?? null, `${keyPrefix}wh-rate`);
  const countCall = (userId: string) => rate.consume(userId);
  const feed = engine.feed;
  const context: Omit<ServiceContext, 'orm'> = {
    config,
    pool: stores.pool,
    reports: stores.reports,
    changes: createChangeQueue(),
    secretBox: engine.secretBox,
    scheduler: engine.scheduler,
    publisher: engine.publisher,
    now: () => stores.clock.now(),
    feed,
    testSender: engine.testSender,
    checkUrl: (url) => engine.policy.checkUrl(url),
    onWebhookChanged: (webhookId) => engine.bus.announceWebhook(webhookId),
    endWaiting: (webhookId) => engine.closing.endWaiting(webhookId),
    publishUpdates: engine.publishUpdates,
    log,
  };
  const health = new Health({
    pool: stores.batchPool,
    isRedisAway: engine.isRedisAway,
    claimAgeMs: config.role === 'api' ? null : () => engine.dispatcher.claimAgeMs,
    clockSkewMs: stores.clockSkewMs,
    isShort: () => engine.client.isShort,
    lacksKey: () => engine.dispatcher.lacksKey,
    dependencies: config.dependencies,
  });
  const stopping = new AbortController();
  const interceptors = callChain({
    verifyToken,
    countCall,
    findCallsLeft: (userId) => rate.callsLeft(userId),
    shutdown: stopping.signal,
    tracing,
    onCall: (call) =>
      events.requestFinished({
        name: call.method,
        protocol: call.protocol,
        code: call.code,
        reason: call.error?.reason,
        userId: call.principal?.userId,
        role: call.principal?.role,
        durationMs: call.durationMs,
        requestId: call.requestId,
        traceId: call.traceId,
        ...(call.code === 'internal' ? { err: call.error?.cause } : {}),
      }),
  });
  const onError = (error: unknown): void => log.error({ err: error }, 'a request failed outside any call');
  const calls = stores.orm === null ? null : await loadCalls();
  const entries = calls === null || stores.orm === null ? [] : calls.services({ ...context, orm: stores.orm }, health);
  const bodyBudget = createBodyBudget(config);
  const http = createHttpServer({
    config,
    bodyBudget,
    entries,
    interceptors,
    verifyToken,
    health,
    extensions: [
      openApiRoutes,
      consolePage(config),
      webSocketRoutes({ config, context, bus: engine.bus, verifyToken, countCall, log }),
    ],
    onError,
    limits: { maxConnections: budget.http },
  });
  const grpc =
    calls?.createGrpcServer({ config, bodyBudget, entries, interceptors, onError, limits: { maxConnections: budget.grpc } }) ??
    null;
  return { http, grpc, health, stopping };
}

/** What answers calls, which a worker has no use for: a third of all that there is to load. */
async function loadCalls() {
  const [{ services }, { createGrpcServer }] = await Promise.all([
    import('../transport/rpc/services.ts'),
    import('../transport/grpc/server.ts'),
  ]);
  return { services, createGrpcServer };
}

function assemble(
  config: Config,
  telemetry: Telemetry,
  database: DatabaseConfig,
  parts: { embedded: EmbeddedPostgres | null; stores: Stores; engine: Engine; listeners: Listeners },
): App {
  const { embedded, stores, engine, listeners } = parts;
  const { log, events } = telemetry;
  const leader = new Leader(connectionOptions(database), (error) =>
    log.warn({ err: error }, 'leadership was lost or not decided'),
  );
  const housekeeper = new Housekeeper({
    pool: stores.pool,
    isLeading: () => leader.isLeading,
    retentionDays: config.retentionDays,
    statsDays: config.statsDays,
    onWrongSums: (day) => events.sumsWrong(day),
    endWaiting: (webhookId) => engine.closing.endWaiting(webhookId),
    now: () => stores.clock.now(),
    log,
  });
  const reconciler =
    engine.index === null
      ? null
      : new Reconciler({
          pool: stores.batchPool,
          index: engine.index,
          isLeading: () => leader.isLeading,
          intervalMs: config.reconcileIntervalMs,
          leaseMs: config.delivery.leaseMs,
          now: () => stores.clock.now(),
          onRequeued: (count) => events.reconcileRequeued(count),
          onError: (error) => log.warn({ err: error }, 'the schedule could not be reconciled; trying again'),
        });
  const backlog = new Backlog({
    pool: stores.pool,
    isLeading: () => leader.isLeading,
    onError: (error) => events.storeFailed('database', error),
  });
  const insertLeaseExpiry = new InsertLeaseExpiry({
    pool: stores.batchPool,
    scheduler: engine.scheduler,
    isLeading: () => leader.isLeading,
    intervalMs: config.reconcileIntervalMs,
    leaseMs: config.delivery.leaseMs,
    now: () => stores.clock.now(),
    onScheduled: (count) => log.warn({ count }, 'deliveries of a process that died are due'),
    onBroughtForward: (count) =>
      log.warn({ count }, 'deliveries were put off by a clock that was ahead; they are due when they were meant to be'),
    onOldTransaction: (transaction) =>
      log.warn(
        { ...transaction },
        'a transaction has been open for a minute: what it locks is not tried; pg_terminate_backend(pid) ends it',
      ),
    onError: (error) => events.storeFailed('database', error),
  });
  const summing = new Summing({
    pool: stores.pool,
    isLeading: () => leader.isLeading,
    onError: (error) => events.storeFailed('database', error),
  });
  const rescue = new Rescue({
    pool: stores.batchPool,
    scheduler: engine.scheduler,
    index: engine.index,
    isLeading: () => leader.isLeading,
    leaseMs: config.delivery.leaseMs,
    sessionLostAgoMs: () => leader.sessionLostAgoMs,
    onRescued: (holder, count) => log.warn({ holder, count }, 'what a process held that has died is due'),
    onError: (store, error) => events.storeFailed(store, error),
  });
  const maintenance: LongRunning[] = [
    leader,
    housekeeper,
    backlog,
    insertLeaseExpiry,
    rescue,
    summing,
    ...(reconciler === null ? [] : [reconciler]),
  ];
  reportGauges(config, telemetry, backlog, engine, listeners);
  const addresses = { http: '', grpc: '', metrics: '' };
  const stages = new Stages((name, err) => log.error({ err, part: name }, 'a part of this process did not stop as it should'));
  let graceEndsAt = 0;
  // Ports are bound before anything is claimed: a process whose port is taken holds no delivery when it ends. What is published between
  // that and the dispatcher's start goes to the schedule.
  stages.add('telemetry', {
    start: () => telemetry.server.start(),
    drain: async () => {
      await telemetry.server.drain();
      await telemetry.shutdown();
    },
  });
  stages.add('embedded database', { drain: () => embedded?.stop() });
  stages.add('database', {
    drain: () => {
      const pools = [stores.pool, stores.batchPool, stores.outcomePool];
      return Promise.all([stores.orm?.close(true), stores.reports.close(), ...pools.map((pool) => pool.end())]);
    },
  });
  // One that only publishes holds nothing.
  if (config.role !== 'api') stages.add(stores.holder.name, stores.holder);
  stages.add('redis', {
    start: () => stores.redis?.connect().catch((error: unknown) => events.storeFailed('redis', error)),
    drain: () => stores.redis?.close(),
  });
  for (const part of [stores.clock, listeners.health, engine.scheduler, engine.bus, engine.notices])
    stages.add(part.name, part);
  stages.add('closing webhooks', { drain: () => engine.closing.drain() });
  stages.add('publisher', { drain: () => engine.publisher.idle() });
  // When this one stops deliveries and tests are over: what is left are idle connections.
  stages.add('connections to receivers', { drain: () => engine.client.close() });
  stages.add('http', {
    start: async () => {
      const scheme = config.tls === null ? 'http' : 'https';
      addresses.http = `${scheme}://${config.host}:${await listeners.http.listen()}`;
      addresses.metrics = `http://${config.host}:${telemetry.server.port()}`;
    },
    // Both listeners at a time: they share what is left of the grace.
    drain: () => {
      const closingMs = Math.max(MIN_CLOSING_MS, graceEndsAt - performance.now());
      return Promise.all([listeners.http.close(closingMs), listeners.grpc?.close(closingMs)]);
    },
  });
  stages.add('grpc', {
    start: async () => {
      if (listeners.grpc !== null) addresses.grpc = `${config.host}:${await listeners.grpc.listen()}`;
    },
  });
  stages.add('secret keys', { start: () => reportUnknownKeys(stores.pool, engine.secretBox, log) });
  for (const part of maintenance) stages.add(part.name, part);
  // The listeners stay open while it stops, so that probes hear that this process is not ready; what is published goes to the schedule.
  if (config.role !== 'api') stages.add(engine.dispatcher.name, engine.dispatcher);
  stages.add('feed', { drain: () => engine.feed.drain() });
  stages.add('ready', {
    start: () => {
      listeners.health.serve(true);
      telemetry.serving();
      log.info({ ...addresses, ...describe(config, database) }, 'listening');
    },
    drain: () => {
      log.info('stopping');
      graceEndsAt = performance.now() + config.shutdownGraceMs;
      listeners.health.serve(false);
      listeners.stopping.abort();
    },
  });

  return {
    name: 'homechef-webhooks',
    addresses,
    database,
    log,
    start: () => stages.start(),
    async drain() {
      await stages.drain();
      log.info('stopped');
    },
  };
}

/** What the line of the start tells of this process beside its addresses. */
function describe({ version, role, environment, redis, ...config }: Config, { host, port, name }: DatabaseConfig) {
  const isEmbedded = config.database === null;
  const nodes = redis === null || redis.clusterNodes.length === 0 ? null : redis.clusterNodes.join(',');
  return {
    version,
    role,
    environment,
    database: isEmbedded ? 'embedded' : `${host}:${port}/${name}`,
    redis: redis === null ? null : (nodes ?? `${redis.host}:${redis.port}/${redis.db}`),
  };
}

/** What operators see of each part's state; all of it is answered from memory. */
function reportGauges(config: Config, { metrics }: Telemetry, backlog: Backlog, engine: Engine, listeners: Listeners): void {
  const isUp = (store: string) => () => (listeners.health.report().checks[store] === 'ok' ? 1 : 0);
  metrics.gauge('database_up', isUp('database'));
  if (engine.isRedisAway !== null) {
    metrics.gauge('redis_up', isUp('redis'));
    metrics.gauge('scheduler_degraded', () => (engine.isRedisAway?.() === true ? 1 : 0));
  }
  metrics.gauge('queue_depth', () => backlog.deliveries);
  metrics.gauge('oldest_due_age_seconds', () => backlog.oldestDueSeconds);
  metrics.gauge('commit_queue_events', () => engine.publisher.waitingEvents);
  metrics.gauge('outbound_sockets', () => engine.client.sockets);
  metrics.gauge('outbound_waiting', () => engine.client.waiting);
  metrics.gauge('local_shortage', () => (engine.client.isShort ? 1 : 0));
  metrics.gauge('secret_key_missing', () => (engine.dispatcher.lacksKey ? 1 : 0));
  if (config.role === 'api') return;
  metrics.gauge('inflight', () => engine.dispatcher.inFlight);
  metrics.gauge('result_queue_rows', () => engine.recorder.unwritten);
}
