// Counts one day of one webhook in the log and compares it with what the sums say: a writer that forgot its late change shows here.
import type { PoolClient } from 'pg';
import { bucketOfDuration, causeOf } from './sum-columns.ts';

/** A day with more is passed over, in deliveries: counting it takes seconds. */
const MAX_DELIVERIES = 100_000;

export interface RecountedDay {
  readonly webhookId: string;
  /** As in 2026-11-28. */
  readonly day: string;
  /** In the order total, retrying, delivered, failed, cancelled, timed (in any bucket), causes. */
  readonly sums: readonly number[];
  readonly log: readonly number[];
}

/**
 * Takes the first webhook behind `after` that had deliveries on some day that is counted and still in the log. Null when there is none behind it.
 * Late changes that wait to be folded are added: what is compared is what would be seen of both at this moment.
 */
export async function recountDay(client: PoolClient, after: string, random: number): Promise<RecountedDay | null> {
  const { rows } = await client.query<RecountedDay>({ text: statement, values: [after, random, MAX_DELIVERIES] });
  return rows[0] ?? null;
}

const sumOfObject = (json: string): string => `coalesce((select sum(value::bigint) from jsonb_each_text(${json})), 0)`;

const statement = `
with days as materialized (
  select greatest(1, extract(epoch from id_time(days_below) - log_from)::integer / 86400) as count,
    (log_from at time zone 'utc')::date as first_day, days_below, log_from from summing
), chosen as materialized (
  select s.*, id_floor('delivery', s.day::timestamp at time zone 'utc') collate "C" as first_id,
    id_floor('delivery', (s.day + 1)::timestamp at time zone 'utc') collate "C" as end_id
  from days cross join lateral (
    select * from day_sums where webhook_id > $1 and day = first_day + floor($2::float8 * count)::integer
    order by webhook_id limit 1
  ) s
  where total <= $3 and id_floor('delivery', (s.day + 1)::timestamp at time zone 'utc') collate "C" <= days_below
    and s.day::timestamp at time zone 'utc' >= log_from
), log as (
  select count(*)::integer as total, count(*) filter (where status = 'retrying')::integer as retrying,
    count(*) filter (where status = 'delivered')::integer as delivered, count(*) filter (where status = 'failed')::integer as failed,
    count(*) filter (where status = 'cancelled')::integer as cancelled, count(${bucketOfDuration('duration_ms')})::integer as timed,
    count(cause)::integer as causes
  from chosen c cross join lateral (
    select d.status, d.duration_ms, ${causeOf('d')} as cause from deliveries d
    where d.webhook_id = c.webhook_id and d.id >= c.first_id and d.id < c.end_id offset 0
  ) d
), late as (
  select coalesce(sum(sign), 0)::integer as total,
    coalesce(sum(sign) filter (where x.status = 'retrying'), 0)::integer as retrying,
    coalesce(sum(sign) filter (where x.status = 'delivered'), 0)::integer as delivered,
    coalesce(sum(sign) filter (where x.status = 'failed'), 0)::integer as failed,
    coalesce(sum(sign) filter (where x.status = 'cancelled'), 0)::integer as cancelled,
    coalesce(sum(sign) filter (where x.duration_ms is not null), 0)::integer as timed,
    coalesce(sum(sign) filter (where x.cause is not null), 0)::integer as causes
  from chosen c join late_changes t on t.webhook_id = c.webhook_id and t.delivery_id >= c.first_id and t.delivery_id < c.end_id
  cross join lateral (
    select 1 as sign, t.status, t.duration_ms, t.cause
    union all
    select -1, t.old_status, t.old_duration_ms, t.old_cause where t.old_status is not null
  ) x
)
select c.webhook_id as "webhookId", c.day::text as day,
  array[log.total, log.retrying, log.delivered, log.failed, log.cancelled, log.timed, log.causes] as log,
  array[c.total + late.total, c.retrying + late.retrying, c.delivered + late.delivered, c.failed + late.failed, c.cancelled + late.cancelled,
    (select coalesce(sum(value::integer), 0) from jsonb_each_text(to_jsonb(c)) where key ~ '^ms_' and value is not null)::integer + late.timed,
    ${sumOfObject('c.causes')}::integer + late.causes] as sums
from chosen c cross join log cross join late`;
