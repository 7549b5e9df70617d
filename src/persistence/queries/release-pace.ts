// The pace of a release: a bucket that is filled by the database's clock, so that leaders share one pace.

/** A release starts at a tenth of its pace, which grows to the whole within so many seconds: its receiver has been away. */
const SLOW_START_SECONDS = 10;

/** Of a release `r` of webhook `w` at `t.at`: what the bucket is filled by. */
export const paceColumns = `r.tokens, t.at,
    least(r.rate, coalesce(nullif(w.rate_limit, 0), r.rate))::float8 as pace,
    greatest(0, extract(epoch from t.at - coalesce(r.filled_at, t.at)))::float8 as since_fill,
    greatest(0, extract(epoch from t.at - coalesce(r.begun_at, t.at)))::float8 as since_begin`;

/** What is in the bucket of `place` at `at`. It holds one second at the most: a leader that was away makes no burst. */
export const bucketColumns = `at,
    least(greatest(1, pace), tokens + since_fill * pace * least(1, 0.1 + 0.9 * since_begin / ${SLOW_START_SECONDS})) as tokens`;

/** The assignments of release `r` once `taken` deliveries were made due, from `bucket`. */
export const pay = (taken: string): string => `released = r.released + ${taken},
    tokens = bucket.tokens - ${taken},
    filled_at = bucket.at,
    begun_at = coalesce(r.begun_at, bucket.at)`;

/** In a statement of its own: the step's snapshot must be younger than what the last one committed. */
export const lockRelease = `select 1 from releases where no = $1 and ended_at is null and state in ('running', 'waiting') for update skip locked`;
