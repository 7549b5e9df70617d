// The pace of a release: a bucket that is filled by the database's clock, so that leaders share one pace; and the step that takes from it.
import type { Pool } from 'pg';
import { inTransaction } from '../transaction.ts';

/** A release starts at a tenth of its pace, which grows to the whole within so many seconds: its receiver has been away. */
const SLOW_START_SECONDS = 10;

/** Of a release `r` of webhook `w` at `t.at`: what the bucket is filled by. */
export const paceColumns = `r.tokens, t.at,
    least(r.rate, coalesce(nullif(w.rate_limit, 0), r.rate))::float8 as pace,
    greatest(0, extract(epoch from t.at - coalesce(r.filled_at, t.at)))::float8 as since_fill,
    greatest(0, extract(epoch from t.at - coalesce(r.begun_at, t.at)))::float8 as since_begin`;

/**
 * Behind `place`: what is in its bucket at `at`, and how many deliveries it allows, `$2` at the most. The bucket holds one second at the most: a leader that
 * was away makes no burst.
 */
export const allowance = `bucket as materialized (
  select at,
    least(greatest(1, pace), tokens + since_fill * pace * least(1, 0.1 + 0.9 * since_begin / ${SLOW_START_SECONDS})) as tokens
  from place
), allowed as materialized (
  select least($2::integer, floor(tokens)::integer) as n from bucket
)`;

/** The assignments of release `r` once `taken` deliveries were made due, from `bucket`. */
export const pay = (taken: string): string => `released = r.released + ${taken},
    tokens = bucket.tokens - ${taken},
    filled_at = bucket.at,
    begun_at = coalesce(r.begun_at, bucket.at)`;

/** In a statement of its own: the step's snapshot must be younger than what the last one committed. */
const lockRelease = `select 1 from releases where no = $1 and ended_at is null and state in ('running', 'waiting') for update skip locked`;

export interface DueDelivery {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly dueAtMs: number;
}

/** A statement that takes the number of a release as `$1`, and replies with what it made due and with one row more: nulls and a number. */
export interface StepStatement {
  readonly name: string;
  readonly text: string;
  readonly values: readonly [releaseNo: string, max: number, ...unknown[]];
}

/** Runs a step in one transaction. Null: another leader has the release, or it has ended. */
export function takeStep(
  pool: Pool,
  { name, text, values }: StepStatement,
): Promise<{ readonly due: readonly DueDelivery[]; readonly number: number } | null> {
  return inTransaction(pool, 'begin', async (client) => {
    const { rowCount } = await client.query({ name: 'lock-release', text: lockRelease, values: [values[0]] });
    if (rowCount === 0) return null;
    const { rows } = await client.query<[string | null, string, number]>({ name, text, rowMode: 'array', values: [...values] });
    const due: DueDelivery[] = [];
    let ofStep = 0;
    for (const [deliveryId, webhookId, number] of rows) {
      if (deliveryId === null) ofStep = number;
      else due.push({ deliveryId, webhookId, dueAtMs: number });
    }
    return { due, number: ofStep };
  });
}
