// One function for each thing that happens in the business: it counts, measures, and writes the one line about it.
import type { AttemptError, AttemptTrigger, CancelCause, Shortage } from '../domain/delivery.ts';
import type { ErrorCode, Reason } from '../domain/errors.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface PublishCommit {
  readonly events: number;
  readonly duplicates: number;
  readonly deliveries: number;
  readonly durationMs: number;
}

export interface FinishedAttempt {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly eventId: string;
  readonly eventType: string;
  /** From 1 on. */
  readonly number: number;
  readonly trigger: AttemptTrigger;
  readonly outcome: 'delivered' | 'retrying' | 'failed' | 'released';
  readonly httpStatus: number | null;
  readonly error: AttemptError | null;
  readonly durationMs: number;
  /** From the event's commit to the start of this attempt. */
  readonly delayMs: number;
  /** Set when it is tried again. */
  readonly retryInMs: number | null;
  readonly traceId: string;
}

export interface FinishedRequest {
  /** `EventService/PublishEvent`, or the method and route of a plain HTTP call. */
  readonly name: string;
  readonly protocol: 'grpc' | 'grpc-web' | 'connect' | 'rest' | 'http' | 'websocket';
  readonly code: ErrorCode | 'ok';
  readonly reason?: Reason | undefined;
  readonly userId?: string | undefined;
  readonly role?: string | undefined;
  readonly durationMs: number;
  readonly requestId: string;
  readonly traceId: string;
  /** For `internal` only: what really happened. */
  readonly err?: unknown;
}

/** Clocks further apart than this are worth a line; receivers refuse signatures 300 s off. */
const CLOCK_SKEW_WARNING_MS = 5000;
/** A store that is away fails thousands of calls a second: one line in so long says as much. */
const STORE_LINE_INTERVAL_MS = 5000;
/** A machine, or a PostgreSQL, that is short of something refuses thousands of times a second: one line a second says how often. */
const SHORTAGE_LINE_INTERVAL_MS = 1000;
/** A publisher sends the same mistake thousands of times a second: one line a type in so long says as much. */
const MISMATCH_LINE_INTERVAL_MS = 60_000;
/** Deliveries wait a minute for a key before it is looked for again, in milliseconds. */
const KEY_LINE_INTERVAL_MS = 60_000;

export type Events = ReturnType<typeof createEvents>;

export function createEvents(log: Logger, metrics: Metrics) {
  const lastStoreLineAt = new Map<string, number>();
  const lastMismatchLineAt = new Map<string, number>();
  let lastSkewLineAt = Number.NEGATIVE_INFINITY;
  let lastShortageLineAt = Number.NEGATIVE_INFINITY;
  let shortages = 0;
  let lastRefusalLineAt = Number.NEGATIVE_INFINITY;
  let refusals = 0;
  let lastKeyLineAt = Number.NEGATIVE_INFINITY;

  return {
    /** A group commit of events is durable. */
    publishCommitted(commit: PublishCommit): void {
      metrics.count('events_published_total', commit.events);
      metrics.count('events_duplicate_total', commit.duplicates);
      metrics.count('deliveries_created_total', commit.deliveries);
      metrics.record('commit_events', commit.events + commit.duplicates);
      metrics.record('commit_duration_seconds', commit.durationMs / 1000);
    },

    /** A payload is not what the schema of its type says. The payload itself is never logged. */
    payloadMismatched(mismatch: { eventType: string; validation: string; field: string; message: string }): void {
      const { eventType, validation, field, message } = mismatch;
      metrics.count('payload_mismatches_total', 1, validation);
      const now = performance.now();
      if (now - (lastMismatchLineAt.get(eventType) ?? Number.NEGATIVE_INFINITY) < MISMATCH_LINE_INTERVAL_MS) return;
      lastMismatchLineAt.set(eventType, now);
      log.warn(
        { event_type: eventType, validation, field, fault: message },
        'a payload is not what the schema of its type says',
      );
    },

    /** A publisher has its answer. */
    publishAnswered(durationMs: number): void {
      metrics.record('publish_duration_seconds', durationMs / 1000);
    },

    /** Deliveries were taken from the schedule. */
    deliveriesLeased(n: number): void {
      if (n === 0) return;
      metrics.count('deliveries_leased_total', n);
      metrics.record('claim_deliveries', n);
    },

    /** One HTTP request to a receiver has come to an outcome. */
    attemptFinished(attempt: FinishedAttempt): void {
      metrics.record('attempt_duration_seconds', attempt.durationMs / 1000);
      if (attempt.number === 1) metrics.record('first_attempt_delay_seconds', attempt.delayMs / 1000);
      if (attempt.outcome === 'delivered') {
        metrics.count('deliveries_delivered_total');
        metrics.record('delivery_latency_seconds', (attempt.delayMs + attempt.durationMs) / 1000);
      } else if (attempt.outcome === 'released') metrics.count('deliveries_released_total');
      else {
        metrics.count('deliveries_failed_total', 1, attempt.error ?? 'http_status');
        if (attempt.outcome === 'failed') metrics.count('deliveries_gave_up_total');
      }
      if (!log.isLevelEnabled('info')) return;
      log.info(
        {
          trace_id: attempt.traceId,
          delivery_id: attempt.deliveryId,
          webhook_id: attempt.webhookId,
          event_id: attempt.eventId,
          event_type: attempt.eventType,
          attempt: attempt.number,
          trigger: attempt.trigger,
          outcome: attempt.outcome,
          http_status: attempt.httpStatus,
          error_code: attempt.error,
          duration_ms: Math.round(attempt.durationMs),
          delay_ms: Math.round(attempt.delayMs),
          retry_in_ms: attempt.retryInMs,
        },
        'attempt',
      );
    },

    /** A group commit of outcomes is written. */
    resultsCommitted(rows: number, durationMs: number): void {
      metrics.record('result_commit_rows', rows);
      metrics.record('result_commit_duration_seconds', durationMs / 1000);
    },

    /** They ended before they were delivered. */
    deliveriesCancelled(cause: CancelCause, n: number): void {
      metrics.count('deliveries_cancelled_total', n, cause);
    },

    /** They are kept for a paused webhook. */
    deliveriesHeld(n: number): void {
      metrics.count('deliveries_held_total', n);
    },

    /** They were held for longer than deliveries are kept. */
    heldExpired(n: number): void {
      metrics.count('held_expired_total', n);
      log.warn({ count: n }, 'deliveries held for paused webhooks are past retention and cancelled');
    },

    /** Their webhook held more than it may. */
    heldTrimmed(n: number): void {
      metrics.count('held_trimmed_total', n);
      log.warn({ count: n }, 'a paused webhook holds more than WEBHOOK_MAX_HELD; its oldest held deliveries are cancelled');
    },

    /** A release made them due. */
    heldReleased(n: number): void {
      metrics.count('held_released_total', n);
    },

    /** Leases ran out during an attempt: each of these deliveries may be sent twice. */
    leaseExpired(n: number): void {
      if (n === 0) return;
      metrics.count('lease_expired_total', n);
      log.warn({ count: n }, 'leases expired: a process died or stalled');
    },

    /** The reconciler put back what the schedule had lost. */
    reconcileRequeued(n: number): void {
      if (n === 0) return;
      metrics.count('reconcile_requeued_total', n);
      log.warn({ count: n }, 'deliveries missing from the schedule were put back');
    },

    unknownMembersRemoved(n: number): void {
      if (n === 0) return;
      metrics.count('queue_junk_total', n);
      log.warn({ count: n }, 'members of the schedule that name no delivery were removed');
    },

    /** Results came too late to count. */
    staleResult(n: number): void {
      if (n === 0) return;
      metrics.count('stale_result_total', n);
      log.warn({ count: n }, 'results under a lost lease were dropped');
    },

    /** A day of a webhook was counted again, and the statistics say something else. */
    sumsWrong(day: {
      readonly webhookId: string;
      readonly day: string;
      readonly sums: readonly number[];
      readonly log: readonly number[];
    }): void {
      metrics.count('sums_wrong_total');
      log.error(
        { webhook_id: day.webhookId, day: day.day, sums: day.sums, log: day.log },
        'the statistics of a day are not what the log has',
      );
    },

    /** How far this clock is ahead of the database's, each time that is measured. */
    clockSkew(skewMs: number): void {
      metrics.gauge('clock_skew_seconds', () => skewMs / 1000);
      const now = performance.now();
      if (Math.abs(skewMs) <= CLOCK_SKEW_WARNING_MS || now - lastSkewLineAt < 60_000) return;
      lastSkewLineAt = now;
      log.warn({ clock_skew: true, skew_ms: Math.round(skewMs) }, 'this clock and the database’s are apart');
    },

    /** The service disabled a webhook by itself. */
    endpointDisabled(endpoint: { webhookId: string; userId: string; reason: 'gone' | 'failing' }): void {
      metrics.count('endpoints_disabled_total', 1, endpoint.reason);
      log.warn({ webhook_id: endpoint.webhookId, user_id: endpoint.userId, reason: endpoint.reason }, 'webhook disabled');
    },

    /** It failed for too long, and what it would get is held. */
    endpointPaused(endpoint: { webhookId: string; userId: string }): void {
      metrics.count('endpoints_paused_total');
      log.warn({ webhook_id: endpoint.webhookId, user_id: endpoint.userId, reason: 'failing' }, 'webhook paused');
    },

    /** The certificate of a receiver, or the client certificate that it is shown, is near its end. */
    certificateExpiring(
      { webhookId, userId, expiresAtMs }: { webhookId: string; userId: string; expiresAtMs: number },
      whose: 'receiver' | 'client',
    ): void {
      metrics.count('certificates_expiring_total');
      const at = new Date(expiresAtMs).toISOString();
      log.warn(
        { webhook_id: webhookId, user_id: userId, certificate_expires_at: at },
        whose === 'receiver' ? 'the certificate of a receiver ends soon' : 'the client certificate of a webhook ends soon',
      );
    },

    /** A webhook is so many percent of the way to being stopped. */
    endpointFailing({ webhookId, userId, percent }: { webhookId: string; userId: string; percent: number }): void {
      log.warn({ webhook_id: webhookId, user_id: userId, percent }, 'webhook fails, and is stopped if that goes on');
    },

    /** A webhook that the service stopped for failing was probed. */
    endpointProbed(result: 'succeeded' | 'failed' | 'gone' | 'not_tried'): void {
      metrics.count('probes_total', 1, result);
    },

    /** A probe succeeded, and the webhook works again. */
    endpointBack({ webhookId, userId, how }: { webhookId: string; userId: string; how: 'enabled' | 'resumed' }): void {
      metrics.count('endpoints_back_total', 1, how);
      log.info({ webhook_id: webhookId, user_id: userId, reason: 'receiver_back' }, `webhook ${how}`);
    },

    /** Its receiver was away for so long that it is probed no more. */
    probingEnded({ webhookId, userId }: { webhookId: string; userId: string }): void {
      log.warn({ webhook_id: webhookId, user_id: userId, reason: 'receiver_away' }, 'webhook is probed no more');
    },

    /**
     * Redis cannot do what the schedule needs, or can again.
     * @param why a sentence about Redis; null when it is only new or emptied, and is being filled
     */
    schedulerDegraded(degraded: boolean, why: string | null): void {
      if (!degraded) log.info('Redis serves the schedule');
      else if (why === null) log.info('PostgreSQL serves the schedule until Redis is filled');
      else log.warn({ store: 'redis' }, `${why}; PostgreSQL serves the schedule`);
    },

    /** A call to a store failed; the caller has dealt with it. What is wrong with Redis, its connection and the schedule say once. */
    storeFailed(store: 'database' | 'redis', err: unknown): void {
      metrics.count('store_errors_total', 1, store);
      if (store === 'redis') return;
      const now = performance.now();
      if (now - (lastStoreLineAt.get(store) ?? Number.NEGATIVE_INFINITY) < STORE_LINE_INTERVAL_MS) return;
      lastStoreLineAt.set(store, now);
      log.warn({ store, err }, 'a store failed');
    },

    /** PostgreSQL refused a statement, or a connection, for want of something. */
    databaseShort(resource: 'disk' | 'memory' | 'connections', err: unknown): void {
      metrics.count('store_errors_total', 1, 'database');
      refusals += 1;
      const now = performance.now();
      if (now - lastRefusalLineAt < SHORTAGE_LINE_INTERVAL_MS) return;
      lastRefusalLineAt = now;
      log.error(
        { store: 'database', resource, count: refusals, err },
        `PostgreSQL is short of ${resource}: what it refuses is tried again, or was not accepted; nothing has to be restarted`,
      );
      refusals = 0;
    },

    /** A request to a receiver has to wait, or cannot begin, for want of something of this machine's. */
    localShortage(resource: Shortage): void {
      metrics.count('local_shortages_total', 1, resource);
      shortages += 1;
      const now = performance.now();
      if (now - lastShortageLineAt < SHORTAGE_LINE_INTERVAL_MS) return;
      lastShortageLineAt = now;
      log.warn(
        { resource, count: shortages },
        'requests to receivers wait: this machine is short of something; none counts as an attempt',
      );
      shortages = 0;
    },

    /** A delivery waits for the key that its webhook's secrets are sealed under. */
    keyMissing(webhookId: string): void {
      metrics.count('local_shortages_total', 1, 'secret_key');
      const now = performance.now();
      if (now - lastKeyLineAt < KEY_LINE_INTERVAL_MS) return;
      lastKeyLineAt = now;
      log.error(
        { webhook_id: webhookId },
        'deliveries wait: the secrets of their webhook are under a key that WEBHOOK_SECRET_KEYS lacks; none counts as an attempt',
      );
    },

    realtimeDropped(n: number): void {
      metrics.count('realtime_dropped_total', n);
    },

    /** A call was answered. */
    requestFinished(request: FinishedRequest): void {
      metrics.count('http_requests_total', 1, request.code);
      metrics.record('http_request_duration_seconds', request.durationMs / 1000);
      const level = request.code === 'internal' ? 'error' : 'info';
      if (!log.isLevelEnabled(level)) return;
      const fields = {
        trace_id: request.traceId,
        request_id: request.requestId,
        name: request.name,
        protocol: request.protocol,
        code: request.code,
        reason: request.reason,
        user_id: request.userId,
        role: request.role,
        duration_ms: Math.round(request.durationMs * 10) / 10,
      };
      if (request.err === undefined) log[level](fields, 'request');
      else log[level]({ ...fields, err: request.err }, 'request');
    },
  };
}
