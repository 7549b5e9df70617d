// The histogram that durations of attempts are summed up in, by the bounds of its buckets.

/** Milliseconds of the first bound, and how much larger each next one is. */
const FIRST_BOUND_MS = 5;
const RATIO = 1.25;
const BOUNDS = 40;

/** The lower bounds of all buckets but the first, in milliseconds: from 5 ms to 30 s. The number of columns in the database follows from them. */
export const bucketBoundsMs: readonly number[] = Array.from({ length: BOUNDS }, (_, n) =>
  Math.round(FIRST_BOUND_MS * RATIO ** n),
);

export const BUCKETS = BOUNDS + 1;
