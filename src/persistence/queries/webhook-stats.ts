// How the deliveries of one webhook went over a time: counts in buckets, and how long their last attempts took.
import type { Pool } from 'pg';
import type { DeliveryStatus } from '../../domain/delivery.ts';

export interface StatsRows {
  readonly counts: readonly { readonly bucket: number; readonly status: DeliveryStatus; readonly count: number }[];
  /** How many last attempts took so many milliseconds, in no order. */
  readonly durations: readonly { readonly durationMs: number; readonly count: number }[];
}

/**
 * `bounds` are the first id of every bucket and the first id after the last. One scan of (webhook_id, id) in the partitions of that
 * time, hashed twice: counting durations and sorting the few that differ costs less than sorting all for percentiles.
 */
export async function webhookStats(
  pool: Pool,
  webhookId: string,
  fromId: string,
  bounds: readonly string[],
): Promise<StatsRows> {
  const result = await pool.query<[number | null, DeliveryStatus, number | null, number]>({
    text: statement,
    values: [webhookId, fromId, bounds.at(-1), bounds],
    rowMode: 'array',
  });
  const counts = [];
  const durations = [];
  for (const [bucket, status, durationMs, count] of result.rows) {
    if (bucket !== null) counts.push({ bucket: bucket - 1, status, count });
    else if (durationMs !== null) durations.push({ durationMs, count });
  }
  return { counts, durations };
}

const statement = `
select bucket, status, duration_ms, count(*)::integer
from (
  select width_bucket(id, $4::text[]) as bucket, status, duration_ms
  from deliveries where webhook_id = $1 and id >= $2 and id < $3
) d
group by grouping sets ((bucket, status), (duration_ms))`;
