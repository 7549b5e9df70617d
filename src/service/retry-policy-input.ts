// The part of a retry policy that a caller gives, and how it is stored.
import { effectivePolicy, type RetryPolicy, type StoredRetryPolicy } from '../domain/retry-policy.ts';

/** Seconds, as on the wire; what is not given is not stored. */
export interface RetryPolicyInput {
  readonly maxRetries: number | undefined;
  readonly retryDelay: number | undefined;
  readonly timeout: number | undefined;
}

/**
 * The stored policy with the given fields replaced and the others kept. A value that is in force already changes nothing: who sends back
 * what they read does not make the service's defaults their own.
 * @param defaults the service's, which a caller may have read; null for a new webhook, of which nothing was read
 */
export function mergeRetryPolicy(
  stored: StoredRetryPolicy,
  given: RetryPolicyInput | undefined,
  defaults: RetryPolicy | null,
): StoredRetryPolicy {
  if (given === undefined) return stored;
  const inForce = defaults === null ? null : effectivePolicy(stored, defaults);
  const changed = (value: number | undefined, current: number | undefined): value is number =>
    value !== undefined && value !== current;
  return {
    ...stored,
    ...(changed(given.maxRetries, inForce?.maxRetries) ? { max_retries: given.maxRetries } : {}),
    ...(changed(given.retryDelay, inForce === null ? undefined : inForce.retryDelayMs / 1000)
      ? { retry_delay: given.retryDelay }
      : {}),
    ...(changed(given.timeout, inForce === null ? undefined : inForce.timeoutMs / 1000) ? { timeout: given.timeout } : {}),
  };
}
