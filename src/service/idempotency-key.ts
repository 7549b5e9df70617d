// Idempotency keys, whatever they are of: how long one is kept, and what is said of one that cannot be used. Workers load this, and no more of it.
import { ServiceError } from '../domain/errors.ts';
import { DAY_MS } from '../domain/time-units.ts';

/** As long as those of published events (see insert-events.ts). */
export const KEY_KEPT_MS = DAY_MS;

/** A key that was used for another request is refused alike, whatever the call. */
export function keyReused(): ServiceError {
  return keyRefused('was used with another body in the last 24 hours; use a new key for a new call');
}

export function keyRefused(message: string, cause?: unknown): ServiceError {
  return new ServiceError('idempotency_key_reused', `idempotency_key: ${message}`, {
    violations: [{ field: 'idempotency_key', message }],
    cause,
  });
}
