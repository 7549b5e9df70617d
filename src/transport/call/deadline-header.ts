// How long a caller waits, as it says in a header: one rule for every protocol that has such a header.
import { invalid } from '../../domain/errors.ts';

const MS_IN: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000001 };

/**
 * Milliseconds of a `grpc-timeout` header; null when there is none. One that is longer than this service lets a call last becomes `maxMs`:
 * clients set the deadlines of their whole fleet, and are not refused for patience. Throws `field_invalid` for what is no time.
 */
export function grpcTimeoutMs(header: string | undefined | null, maxMs: number): number | null {
  if (header === undefined || header === null) return null;
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(header) ?? [];
  if (digits === undefined || unit === undefined) {
    throw invalid('field_invalid', 'grpc-timeout', 'must be up to eight digits and one of H, M, S, m, u, n');
  }
  return Math.min(Number(digits) * (MS_IN[unit] ?? 0), maxMs);
}

/** The same for `connect-timeout-ms`. */
export function connectTimeoutMs(header: string | null, maxMs: number): number | null {
  if (header === null) return null;
  if (!/^\d{1,10}$/.test(header)) {
    throw invalid('field_invalid', 'connect-timeout-ms', 'must be milliseconds in up to ten digits');
  }
  return Math.min(Number(header), maxMs);
}
