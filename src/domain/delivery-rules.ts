// Every rule between an event and its delivery. The service decides by these, and an explanation names the one that stopped something.
import type { AttemptError, AttemptTrigger, Outcome } from './delivery.ts';
import type { RetryPolicy } from './retry-policy.ts';

/**
 * In the order in which the service applies them. First whether an event becomes a delivery of a webhook (`persistence/matching.ts`), then what
 * ends a delivery, then what it waits for.
 */
export const deliveryRules = [
  /** The webhook was there when the event was published. */
  'registered',
  /** The event concerns the owner of the webhook. */
  'audience',
  /** The webhook is neither disabled nor deleted. */
  'active',
  /** The webhook is subscribed to the type of the event. */
  'event_type',
  /** The payload passes the filter of the webhook, if it has one. */
  'filter',
  /** The webhook matched when the event was published, and not only since it was changed. */
  'matched_then',
  /** The delivery was not cancelled. */
  'not_cancelled',
  /** The `deliver_before` of its event has not passed. */
  'in_time',
  /** No newer event with its collapse key was published. */
  'newest',
  /** The receiver has not answered 410. */
  'not_gone',
  /** It has not been lost with its process too often. */
  'not_lost',
  /** Another retry is left. */
  'retries_left',
  /** The webhook is not paused. */
  'not_paused',
  /** No other delivery of its ordering key goes before it. */
  'turn',
  /** This service has the key of the webhook's secrets. */
  'secret_key',
  /** Its time has come: there is no retry to wait for. */
  'due',
  /** No attempt is under way. */
  'not_leased',
  /** The receiver is there: its webhook's circuit breaker is closed. */
  'receiver_there',
  /** The webhook's own rate limit lets it go. */
  'rate_limit',
  /** A process has a place for it. */
  'place',
] as const;
export type DeliveryRule = (typeof deliveryRules)[number];

/** Those that decide whether an event becomes a delivery, as the publish statement does. */
export const matchingRules = ['audience', 'active', 'event_type', 'filter'] as const satisfies readonly DeliveryRule[];
export type MatchingRule = (typeof matchingRules)[number];

/** Failures in a row without a sign of the receiver, after which a webhook's circuit breaker opens. */
export const FAILURES_TO_OPEN = 5;
/** Errors that mean that no receiver took the request. A response, even 500, shows that a receiver is there. */
const ABSENT: ReadonlySet<AttemptError> = new Set([
  'timeout',
  'connection_refused',
  'connection_reset',
  'dns_error',
  'oauth_token_refused',
  'oauth_token_unavailable',
]);

export function isAbsence(error: AttemptError): boolean {
  return ABSENT.has(error) || error.startsWith('tls_');
}

/** A delivery whose process died this often without an outcome is given up: it may be what kills them. */
export const MAX_LEASE_EXPIRATIONS = 10;

export interface Tried {
  readonly trigger: AttemptTrigger;
  readonly retriesUsed: number;
  readonly leaseExpirations: number;
}

/** The rule that ends a delivery after an attempt that failed; null: it is retried. */
export function ruleThatEnds(
  { httpStatus }: Pick<Outcome, 'httpStatus'>,
  { trigger, retriesUsed, leaseExpirations }: Tried,
  { maxRetries }: Pick<RetryPolicy, 'maxRetries'>,
) {
  if (httpStatus === 410) return 'not_gone';
  // A test has no retries.
  if (trigger === 'test') return 'retries_left';
  if (leaseExpirations >= MAX_LEASE_EXPIRATIONS) return 'not_lost';
  return retriesUsed >= maxRetries ? 'retries_left' : null;
}

/** Of a webhook, the rule for which nothing may be sent to it now; null: there is none. `webhook` null: it is deleted. */
export function ruleOfWebhook(
  webhook: { readonly isDeliverable: boolean; readonly isPaused: boolean; readonly lacksKey: boolean } | null,
) {
  if (webhook === null || !webhook.isDeliverable) return 'active';
  if (webhook.isPaused) return 'not_paused';
  return webhook.lacksKey ? 'secret_key' : null;
}
