// The histogram that durations of attempts are summed up in, and percentiles read from it.

/** Milliseconds of the first bound, and how much larger each next one is. */
const FIRST_BOUND_MS = 5;
const RATIO = 1.25;
const BOUNDS = 40;

/** The lower bounds of all buckets but the first, in milliseconds: from 5 ms to 30 s. The number of columns in the database follows from them. */
export const bucketBoundsMs: readonly number[] = Array.from({ length: BOUNDS }, (_, n) =>
  Math.round(FIRST_BOUND_MS * RATIO ** n),
);

export const BUCKETS = BOUNDS + 1;

/** The last bucket has no end: a percentile in it is said to lie here, in milliseconds. */
const LAST_END_MS = Math.round(FIRST_BOUND_MS * RATIO ** BOUNDS);

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/**
 * Percentiles in milliseconds, interpolated within their bucket: at most 12 % off when a bucket's durations are spread evenly, and never more
 * than a bucket is wide (25 %). Null for an empty histogram. Below 5 ms and beyond 30 s only the bucket is known.
 */
export function percentilesOf(counts: readonly number[]): Percentiles | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const at = (fraction: number): number => {
    let rank = total * fraction;
    for (const [bucket, count] of counts.entries()) {
      if (count > 0 && rank <= count) {
        const start = bucketBoundsMs[bucket - 1] ?? 0;
        const end = bucketBoundsMs[bucket] ?? LAST_END_MS;
        return Math.round(start + ((end - start) * rank) / count);
      }
      rank -= count;
    }
    return LAST_END_MS;
  };
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
