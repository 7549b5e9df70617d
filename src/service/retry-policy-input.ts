// The part of a retry policy that a caller gives, and how it is stored.
import type { StoredRetryPolicy } from '../domain/retry-policy.ts';

/** Seconds, as on the wire; what is not given is not stored. */
export interface RetryPolicyInput {
  readonly maxRetries: number | undefined;
  readonly retryDelay: number | undefined;
  readonly timeout: number | undefined;
}

/** The stored policy with the given fields replaced and the others kept. */
export function mergeRetryPolicy(stored: StoredRetryPolicy, given: RetryPolicyInput | undefined): StoredRetryPolicy {
  if (given === undefined) return stored;
  return {
    ...stored,
    ...(given.maxRetries === undefined ? {} : { max_retries: given.maxRetries }),
    ...(given.retryDelay === undefined ? {} : { retry_delay: given.retryDelay }),
    ...(given.timeout === undefined ? {} : { timeout: given.timeout }),
  };
}
