// How the deliveries of one webhook went over a time: counts in buckets, and how long their last attempts took.
import type { Pool, PoolClient } from 'pg';
import type { DeliveryStatus } from '../../domain/delivery.ts';

export interface StatsRows {
  readonly counts: readonly { readonly bucket: number; readonly status: DeliveryStatus; readonly count: number }[];
  /** How many last attempts took so many milliseconds, in no order. */
  readonly durations: readonly { readonly durationMs: number; readonly count: number }[];
}

/**
 * `bounds` are the first id of every bucket and the first id after the last. One range of (webhook_id, id) a bucket, each row read
 * once; durations are counted, not sorted, because there are far fewer of them than deliveries.
 */
export async function webhookStats(
  client: Pool | PoolClient,
  webhookId: string,
  bounds: readonly string[],
): Promise<StatsRows> {
  const result = await client.query<[number, DeliveryStatus, null, number] | [null, null, number, number]>({
    text: statement,
    values: [webhookId, bounds.slice(0, -1), bounds.slice(1)],
    rowMode: 'array',
  });
  const counts = [];
  const durations = [];
  for (const [bucket, status, durationMs, count] of result.rows) {
    if (bucket !== null) counts.push({ bucket, status, count });
    else durations.push({ durationMs, count });
  }
  return { counts, durations };
}

const statement = `
with counted as materialized (
  select b.number, d.*
  from unnest($2::text[], $3::text[]) with ordinality as b(first, next, number)
  cross join lateral (
    select status, duration_ms, count(*) as n from deliveries
    where webhook_id = $1 and id >= b.first and id < b.next
    group by status, duration_ms
  ) d
)
select (number - 1)::integer, status, null, sum(n)::integer from counted group by number, status
union all
select null, null, duration_ms, sum(n)::integer from counted where duration_ms is not null group by duration_ms`;
