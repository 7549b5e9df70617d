// The listeners: what every call passes, the services behind it, and the pages.
import type { Config } from '../config.ts';
import type { DescriptorBudget } from './descriptor-budget.ts';
import { Health } from '../maintenance/health.ts';
import { GuardedTokens } from '../security/failed-tokens.ts';
import { findAudience } from '../persistence/queries/find-audience.ts';
import { RateLimit } from '../security/rate-limit.ts';
import { TokenVerifier } from '../security/tokens.ts';
import { createChangeQueue } from '../service/change-queue.ts';
import { EventCatalogue } from '../service/event-catalogue.ts';
import type { ServiceContext } from '../service/context.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { createBodyBudget } from '../transport/body/body-budget.ts';
import { callChain } from '../transport/call/call-chain.ts';
import { consolePage, missingPage } from '../transport/pages/console-page.ts';
import { consoleSession } from '../transport/pages/console-session.ts';
import { tryReceiver } from '../transport/pages/try-receiver.ts';
import { createHttpServer } from '../transport/http/http-server.ts';
import { docsPage } from '../transport/pages/docs-page.ts';
import { openApiRoutes } from '../transport/pages/openapi-routes.ts';
import { webhookKeys } from '../transport/pages/webhook-keys.ts';
import { listServiceKeys } from '../persistence/queries/service-keys.ts';
import { webSocketRoutes } from '../transport/websocket/routes.ts';
import type { Stores } from './stores.ts';
import type { Engine } from './engine.ts';

export type Listeners = Awaited<ReturnType<typeof createListeners>>;

export async function createListeners(
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
  const catalogue = new EventCatalogue(stores.batchPool, {
    onError: (error) => events.storeFailed('database', error),
    onUnusableSchema: (eventType, err) =>
      log.error({ err, event_type: eventType }, 'the schema of an event type cannot be compiled: its payloads are not checked'),
    onMismatch: (mismatch) => events.payloadMismatched(mismatch),
  });
  const context: Omit<ServiceContext, 'orm'> = {
    config,
    pool: stores.pool,
    reports: stores.reports,
    changes: createChangeQueue(),
    catalogue,
    secretBox: engine.secretBox,
    scheduler: engine.scheduler,
    publisher: engine.publisher,
    findAudience: (event) => findAudience(stores.pool, event),
    now: () => stores.clock.now(),
    feed,
    eventFeed: engine.eventFeed,
    testSender: engine.testSender,
    diagnoser: engine.diagnoser,
    checkUrl: (url) => engine.policy.checkUrl(url),
    onWebhookChanged: (webhookId) => engine.bus.announceWebhook(webhookId),
    endWaiting: (webhookId) => engine.closing.endWaiting(webhookId),
    onCancelledByCaller: () => events.deliveriesCancelled('caller', 1),
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
    databaseLacks: () => stores.shortage.resource,
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
      webhookKeys(() => listServiceKeys(stores.pool)),
      docsPage(),
      consolePage(config),
      consoleSession(verifyToken),
      tryReceiver(config),
      webSocketRoutes({ config, context, bus: engine.bus, verifyToken, countCall, log }),
    ],
    sendMissingPage: missingPage(config),
    onError,
    limits: { maxConnections: budget.http },
  });
  const grpc =
    calls?.createGrpcServer({ config, bodyBudget, entries, interceptors, onError, limits: { maxConnections: budget.grpc } }) ??
    null;
  return { http, grpc, health, catalogue, stopping };
}

/** What serves calls, which a worker does not load: a third of all that there is to load. */
async function loadCalls() {
  const [{ services }, { createGrpcServer }] = await Promise.all([
    import('../transport/rpc/services.ts'),
    import('../transport/grpc/server.ts'),
  ]);
  return { services, createGrpcServer };
}
