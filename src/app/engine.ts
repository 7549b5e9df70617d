// The engine: from a committed event to an outcome, and to those who watch.
import type { Config } from '../config.ts';
import { AccessTokens } from '../delivery/access-tokens.ts';
import { createAttempt } from '../delivery/attempt.ts';
import { Dispatcher } from '../delivery/dispatcher.ts';
import { createHoldQueue } from '../delivery/hold-queue.ts';
import { DELIVERY_SHARE, HttpClient } from '../outbound/http-client.ts';
import { certificateNotice, givenUpNotice, Notices } from '../delivery/notices.ts';
import { OutcomeStore, type DisabledWebhook, type FailingNotice, type PausedWebhook } from '../delivery/outcome-store.ts';
import { createEndpointRateLimit } from '../delivery/endpoint-rate-limit.ts';
import { Recorder } from '../delivery/recorder.ts';
import { createCertificateWatch, type ExpiringCertificate } from '../delivery/certificate-watch.ts';
import { createClientCertificateWatch } from '../delivery/client-certificate-watch.ts';
import { createDiagnoser } from '../delivery/diagnoser.ts';
import { ServiceKeys } from '../delivery/service-keys.ts';
import { createProber } from '../delivery/prober.ts';
import { createTokenRequest } from '../delivery/token-request.ts';
import { createTestSender } from '../delivery/test-send.ts';
import { WebhookDirectory } from '../delivery/webhook-directory.ts';
import type { DescriptorBudget } from './descriptor-budget.ts';
import { createStatusBus } from '../realtime/create-status-bus.ts';
import { EventFeed } from '../realtime/event-feed.ts';
import { StatusFeed } from '../realtime/status-feed.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import { WatcherPlaces } from '../realtime/watcher-places.ts';
import { enqueueTurns } from '../schedule/enqueue-turns.ts';
import { EgressPolicy } from '../security/egress-policy.ts';
import { RateLimit } from '../security/rate-limit.ts';
import { loadOrCreateKeys, SecretBox } from '../security/secret-box.ts';
import { Expiry } from '../service/expire-deliveries.ts';
import { announceCommit } from '../service/announce-commit.ts';
import { CloseWebhook } from '../service/close-webhook.ts';
import { Publisher } from '../service/publisher.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Stores } from './stores.ts';
import { createSchedule } from './schedule.ts';

/** What must be left of a lease when an attempt ends, in milliseconds. */
const LEASE_RESERVE_MS = 2000;

export type Engine = ReturnType<typeof createEngine>;

export function createEngine(config: Config, stores: Stores, telemetry: Telemetry, budget: DescriptorBudget) {
  const { events, log, tracing } = telemetry;
  const secretBox = new SecretBox(loadOrCreateKeys(config));
  const policy = new EgressPolicy(config);
  const client = new HttpClient({
    policy,
    maxSockets: budget.outbound,
    onShortage: (shortage) => events.localShortage(shortage),
    onCertificate: (webhookId, endsAtMs) => {
      watchCertificate(webhookId, endsAtMs);
      watchClientCertificate(webhookId);
    },
    now: () => stores.clock.now(),
  });
  const { scheduler, index, isRedisAway } = createSchedule(config, stores, telemetry);
  const serviceKeys = new ServiceKeys({
    pool: stores.batchPool,
    box: secretBox,
    now: () => stores.clock.now(),
    onError: (error) => events.storeFailed('database', error),
  });
  const directory = new WebhookDirectory(stores.batchPool, secretBox, config.delivery.retry, serviceKeys);
  const notices = new Notices(config.notificationUrl, log);
  const aborting = new AbortController();
  const maxTimeoutMs = Math.max(config.delivery.retry.timeoutMs, config.delivery.leaseMs - LEASE_RESERVE_MS);
  const bus = createStatusBus({ redis: stores.redis, keyPrefix: config.redis?.keyPrefix ?? '', telemetry });
  const { pool, reports } = stores;
  const places = new WatcherPlaces({ maxPerUser: config.maxWatchersPerUser, metrics: telemetry.metrics });
  const feed = new StatusFeed({ bus, pool, reports, telemetry, places });
  const eventFeed = new EventFeed({ pool, reports, telemetry, places });
  bus.onWebhookChanged((webhookId) => directory.forget(webhookId));
  const noticeCertificate =
    (whose: 'receiver' | 'client') =>
    (certificate: ExpiringCertificate): void => {
      events.certificateExpiring(certificate, whose);
      notices.send(certificateNotice(certificate, whose));
    };
  const certificates = {
    pool: stores.batchPool,
    directory,
    now: () => stores.clock.now(),
    onError: (error: unknown) => events.storeFailed('database', error),
  };
  const watchCertificate = createCertificateWatch({
    ...certificates,
    onChanged: (webhookId) => bus.announceWebhook(webhookId),
    onExpiring: noticeCertificate('receiver'),
  });
  const watchClientCertificate = createClientCertificateWatch({ ...certificates, onExpiring: noticeCertificate('client') });
  const publishUpdates = (updates: readonly StatusUpdate[]): void => {
    bus.publish(updates);
    for (const update of updates) if (update.status === 'failed') notices.send(givenUpNotice(update));
  };
  const userAgent = `HomeChef-Webhooks/${config.version}`;
  const tokens = new AccessTokens(createTokenRequest({ client, userAgent, signal: aborting.signal }));
  const send = createAttempt({
    client,
    tokens,
    signatureHeader: config.delivery.signatureHeader,
    userAgent,
    maxTimeoutMs,
    signal: aborting.signal,
    now: () => stores.clock.now(),
    tracing,
  });
  const closing = new CloseWebhook({
    pool: stores.pool,
    isWatched: () => bus.hasListeners,
    publish: publishUpdates,
    onCancelled: (count) => events.deliveriesCancelled('webhook_closed', count),
    log,
  });
  const expiry = new Expiry({
    pool: stores.pool,
    scheduler,
    publish: publishUpdates,
    onExpired: (count) => events.deliveriesCancelled('expired', count),
    log,
  });
  const onDisabled = (webhook: DisabledWebhook): void => {
    bus.announceWebhook(webhook.webhookId);
    bus.notify({ ...webhook, type: 'webhook_disabled', atMs: stores.clock.now() });
    events.endpointDisabled(webhook);
    const { webhookId, userId, reason } = webhook;
    void closing.endWaiting(webhookId);
    notices.send({
      type: 'webhook.disabled',
      data: { webhook_id: webhookId, user_id: userId, reason },
    });
  };
  const onPaused = (webhook: PausedWebhook): void => {
    bus.announceWebhook(webhook.webhookId);
    bus.notify({ ...webhook, type: 'webhook_paused', reason: 'failing', atMs: stores.clock.now() });
    events.endpointPaused(webhook);
    const { webhookId, userId } = webhook;
    notices.send({ type: 'webhook.paused', data: { webhook_id: webhookId, user_id: userId, reason: 'failing' } });
  };
  const onFailing = ({ webhookId, userId, percent, failingSince, ...failing }: FailingNotice): void => {
    events.endpointFailing({ webhookId, userId, percent });
    notices.send({
      type: 'webhook.failing',
      data: {
        webhook_id: webhookId,
        user_id: userId,
        reason: 'failing',
        percent,
        failing_since: failingSince.toISOString(),
        consecutive_failures: failing.consecutiveFailures,
        on_failing: failing.onFailing,
      },
    });
  };
  const onBack = ({ webhookId, userId, how }: { webhookId: string; userId: string; how: 'enabled' | 'resumed' }): void => {
    bus.announceWebhook(webhookId);
    bus.notify({ type: `webhook_${how}`, webhookId, userId, reason: 'receiver_back', atMs: stores.clock.now() });
    events.endpointBack({ webhookId, userId, how });
    notices.send({ type: `webhook.${how}`, data: { webhook_id: webhookId, user_id: userId, reason: 'receiver_back' } });
  };
  const outcomes = new OutcomeStore({
    pool: stores.outcomePool,
    holderId: () => stores.holder.id,
    disableAfterMs: config.delivery.disableAfterMs,
    disableAfterFailures: config.delivery.disableAfterFailures,
    probeAfterMs: config.delivery.probeDays === 0 ? null : config.delivery.probeIntervalMs,
    onDisabled,
    onFailing,
    onPaused,
    telemetry,
  });
  const recorder = new Recorder({
    record: (rows, returnsEachTime, isLockLikely) => outcomes.record(rows, returnsEachTime, isLockLikely),
    scheduler,
    enqueueTurns: (chains) => enqueueTurns({ pool: stores.pool, scheduler, log }, chains),
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
    expire: (deliveryId) => expiry.endOne(deliveryId),
    hold: createHoldQueue({ pool: stores.batchPool, onHeld: (count) => events.deliveriesHeld(count) }),
    rateLimitWaitMs: createEndpointRateLimit(stores.redis, config.redis?.keyPrefix ?? ''),
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
    onCommitted: (commit) => {
      void dispatcher.accept(commit);
      void announceCommit(
        {
          pool: stores.pool,
          scheduler,
          publish: publishUpdates,
          onCancelled: (cause, count) => events.deliveriesCancelled(cause, count),
          log,
        },
        commit,
      );
    },
  });
  const testSender = createTestSender(directory, send);
  const probe = createProber({ pool: stores.batchPool, directory, recorder, send, now: () => stores.clock.now() });
  const keyPrefix = config.redis?.keyPrefix ?? '';
  const diagnoser = createDiagnoser({
    directory,
    client,
    send,
    tokens,
    checkUrl: (url) => policy.checkUrl(url),
    rate: new RateLimit(config.diagnosesPerMinute, stores.redis?.commands ?? null, `${keyPrefix}wh-diagnose`),
    policy: config.delivery.retry,
    now: () => stores.clock.now(),
  });
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
    probe,
    onBack,
    onDisabled,
    diagnoser,
    bus,
    feed,
    eventFeed,
    publishUpdates,
    closing,
    expiry,
  };
}
