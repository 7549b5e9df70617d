// Deliveries and attempts: their states, and the one rule that decides what an outcome leads to.
import { ruleThatEnds, type Tried } from './delivery-rules.ts';
import type { ResponseOddity } from './response-oddity.ts';
import { nextRetryDelayMs, type RetryPolicy } from './retry-policy.ts';

export const deliveryStatuses = ['pending', 'retrying', 'delivered', 'failed', 'cancelled'] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** Why deliveries end before they are delivered, as it is counted; what is held too long, or too much of, is counted by itself. */
export const cancelCauses = ['webhook_closed', 'caller', 'expired', 'superseded'] as const;
export type CancelCause = (typeof cancelCauses)[number];

/** Whether no attempt may begin any more: the `deliver_before` of an event has come. Both in milliseconds since 1970; null: it names none. */
export function hasExpired(deliverBeforeMs: number | null, nowMs: number): boolean {
  return deliverBeforeMs !== null && deliverBeforeMs <= nowMs;
}

export type AttemptTrigger = 'automatic' | 'manual' | 'test';

/** The stable codes of what can go wrong with one attempt; README.md documents the same list. */
export const attemptErrors = {
  dns_error: 'The host name could not be resolved.',
  connection_refused: 'The connection was refused or could not be made.',
  connection_reset: 'The connection was closed before the answer was complete.',
  timeout: 'The answer did not come in time.',
  // A program that does not know one of these can go by its beginning.
  tls_certificate_expired: 'The certificate has expired.',
  tls_certificate_not_yet_valid: 'The certificate is not valid yet.',
  tls_certificate_wrong_name: 'The certificate is for another host name.',
  tls_certificate_self_signed: 'The certificate is signed by itself.',
  tls_certificate_unknown_issuer:
    'The issuer of the certificate is unknown: its chain is incomplete, or its authority is not a public one.',
  tls_version_too_old: 'The receiver speaks no TLS from 1.2 on.',
  tls_not_spoken: 'The receiver does not speak TLS: it may be plain HTTP behind an https URL.',
  tls_client_certificate_required: 'The receiver asks for a client certificate, and the webhook has none.',
  tls_client_certificate_refused: 'The receiver refused the client certificate of the webhook.',
  tls_error: 'The TLS connection could not be made or trusted.',
  oauth_token_refused: 'The token server gave the webhook no access token.',
  oauth_token_unavailable: 'No access token could be got from the token server.',
  protocol_error: 'The answer did not begin with a status line of HTTP.',
  response_headers_too_large: 'The answer had no status line within 16 KiB.',
  redirect_not_followed: 'The receiver answered with a redirect; redirects are not followed.',
  http_status: 'The receiver answered with a status other than 2xx.',
  ssrf_blocked: 'The address is one that webhooks may not reach.',
  decrypt_failed: 'What is stored of the signing secret or the headers could not be read.',
  url_invalid: 'The stored URL is not valid.',
  payload_unreadable: 'The stored event could not be read.',
  internal_error: 'The service itself could not make this attempt.',
  lease_expired: 'The process that made this attempt died before it could record the outcome.',
  shutdown: 'The service was stopped before the answer came.',
} as const;
export type AttemptError = keyof typeof attemptErrors;

/** The only 3xx that names no other place (RFC 9110, 15.4.5). */
const NOT_MODIFIED = 304;

/** What a response with this status is recorded as; null: the delivery was made. */
export function errorOfStatus(status: number): AttemptError | null {
  if (status >= 200 && status < 300) return null;
  return status >= 300 && status < 400 && status !== NOT_MODIFIED ? 'redirect_not_followed' : 'http_status';
}

/** What came of one HTTP request. */
export interface Outcome {
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly httpStatus: number | null;
  /** At most 16 KiB of the answer, as text. */
  readonly response: string | null;
  readonly responseTruncated: boolean;
  /** What of the response broke HTTP's grammar; null when nothing did. */
  readonly responseOddity: ResponseOddity | null;
  /** Null exactly when the receiver answered 2xx. */
  readonly error: AttemptError | null;
  /** What the receiver asked for with Retry-After on 429 or 503. */
  readonly retryAfterMs: number | null;
  /** What is known beyond the error, in a sentence. */
  readonly detail?: string;
  /** Null of a first try that succeeded: it has no row of its own, which could keep it. */
  readonly transcript: Transcript | null;
}

/** What went over the connection of an attempt, bounded and masked: header lines as `name: value`, one a line. */
export interface Transcript {
  /** Null: nothing was sent. */
  readonly requestHeaders: string | null;
  /** Null: no whole head came. */
  readonly responseHeaders: string | null;
  /** Null: nothing was dialled, or the address is not to be shown. */
  readonly remoteAddress: string | null;
  /** As in `TLSv1.3`; null without TLS. */
  readonly tlsVersion: string | null;
}

/**
 * What of our own can be missing for an attempt: places in the pool, files and sockets, memory, local ports, and the key that the webhook's secrets
 * are sealed under.
 */
export const shortages = ['places', 'descriptors', 'memory', 'ports', 'secret_key'] as const;
export type Shortage = (typeof shortages)[number];

/**
 * An attempt that could not begin for want of something of ours: the receiver was sent nothing, so nothing is recorded against it, and the
 * delivery is to be tried again soon.
 */
export interface NotBegun {
  readonly shortage: Shortage;
}

export function hasBegun(attempted: Outcome | NotBegun): attempted is Outcome {
  return !('shortage' in attempted);
}

export type NextState =
  | { readonly status: 'delivered' }
  | { readonly status: 'retrying'; readonly delayMs: number }
  | { readonly status: 'failed' }
  /** The attempt does not count: the service was stopping, the receiver is not to blame. */
  | { readonly status: 'released' };

/** What a delivery becomes after an attempt. `random` is uniform in [0, 1). */
export function nextState(
  outcome: Pick<Outcome, 'error' | 'httpStatus' | 'retryAfterMs'>,
  tried: Tried,
  policy: RetryPolicy,
  random: number,
): NextState {
  if (outcome.error === null) return { status: 'delivered' };
  if (outcome.error === 'shutdown') return { status: 'released' };
  if (ruleThatEnds(outcome, tried, policy) !== null) return { status: 'failed' };
  return { status: 'retrying', delayMs: nextRetryDelayMs(policy, tried.retriesUsed, outcome, random) };
}

/** What went wrong, in words for the webhook's owner. */
/** What is recorded of an attempt; null: it succeeded. */
export function outcomeMessage({ error, httpStatus, detail }: Pick<Outcome, 'error' | 'httpStatus' | 'detail'>): string | null {
  if (error === null) return null;
  const message = attemptErrorMessage(error, httpStatus);
  return detail === undefined ? message : `${message} ${detail}`;
}

export function attemptErrorMessage(error: AttemptError, httpStatus: number | null): string {
  return error === 'http_status' ? `The receiver answered ${httpStatus}.` : attemptErrors[error];
}
