// When a failed delivery is tried again.
import { parseHttpDate } from './http-date.ts';

export interface RetryPolicy {
  /** Attempts after the first one. */
  readonly maxRetries: number;
  /** Milliseconds before the first retry; each later delay doubles. */
  readonly retryDelayMs: number;
  /** Milliseconds for one attempt in all. */
  readonly timeoutMs: number;
}

/** What a webhook may override, as stored in `webhook_endpoints.retry_policy`; seconds, as documented. */
export interface StoredRetryPolicy {
  readonly max_retries?: number;
  readonly retry_delay?: number;
  readonly timeout?: number;
}

/** ±20 %: enough that a thousand deliveries that failed together do not come back together. */
export const JITTER = 0.2;
/** No automatic delay is longer than a day: a receiver that is back should not wait for a week. */
export const MAX_DELAY_MS = 86_400_000;
/** A receiver that names its own delay is believed up to a day. */
export const MAX_RETRY_AFTER_MS = 86_400_000;

/** The policy in force for a webhook. */
export function effectivePolicy(stored: StoredRetryPolicy, defaults: RetryPolicy): RetryPolicy {
  return {
    maxRetries: stored.max_retries ?? defaults.maxRetries,
    retryDelayMs: stored.retry_delay === undefined ? defaults.retryDelayMs : stored.retry_delay * 1000,
    timeoutMs: stored.timeout === undefined ? defaults.timeoutMs : stored.timeout * 1000,
  };
}

/**
 * Milliseconds until the next retry: `retryDelay · 2^retriesUsed`, ±20 % by `random` in [0, 1), never earlier than the
 * receiver's Retry-After asked for.
 */
export function nextRetryDelayMs(
  policy: RetryPolicy,
  retriesUsed: number,
  outcome: { readonly retryAfterMs: number | null },
  random: number,
): number {
  const base = Math.min(policy.retryDelayMs * 2 ** retriesUsed, MAX_DELAY_MS);
  const jittered = Math.round(base * (1 - JITTER + 2 * JITTER * random));
  return Math.max(jittered, Math.min(outcome.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS));
}

/**
 * Reads a Retry-After value (RFC 9110, 10.2.3: digits or an HTTP-date), bounded by MAX_RETRY_AFTER_MS; null for anything else. Past dates
 * give 0.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | null {
  if (value === undefined) return null;
  const text = value.trim();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : (parseHttpDate(text, nowMs) ?? Number.NaN) - nowMs;
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS);
}
