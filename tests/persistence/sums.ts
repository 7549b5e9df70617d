// What the sums should be, counted from the log in another way than they are made.
import type { Pool } from 'pg';
import { idFloor } from '../../src/domain/ids.ts';
import { bucketColumns, causeOf } from '../../src/persistence/queries/sum-columns.ts';
import { bucketBoundsMs } from '../../src/domain/latency-histogram.ts';

/** The log is summed up from this moment on, in milliseconds since 1970. */
export async function beginSums(pool: Pool, fromMs: number): Promise<void> {
  await pool.query(
    `update summing set hours_below = $1, days_below = $1, closing_below = $1, log_from = to_timestamp($2::float8 / 1000), begins_at = now()`,
    [idFloor('delivery', fromMs), fromMs],
  );
}

const buckets = bucketColumns
  .map((column, n) => {
    const from = n === 0 ? '' : `and duration_ms >= ${bucketBoundsMs[n - 1]}`;
    const to = n === bucketColumns.length - 1 ? '' : `and duration_ms < ${bucketBoundsMs[n]}`;
    return `'${column}', nullif(count(*) filter (where duration_ms is not null ${from} ${to}), 0)`;
  })
  .join(', ');

const truth = (unit: string, below: string): string => `
  select ${unit} as unit, webhook_id, user_id, jsonb_strip_nulls(jsonb_build_object('total', count(*),
    'retrying', count(*) filter (where status = 'retrying'), 'delivered', count(*) filter (where status = 'delivered'),
    'failed', count(*) filter (where status = 'failed'), 'cancelled', count(*) filter (where status = 'cancelled'), ${buckets})) as sums,
    (select jsonb_object_agg(event_type, n) from (select event_type, count(*) as n from unnest(array_agg(event_type)) event_type group by 1) t) as types,
    (select jsonb_object_agg(cause, n) from (select cause, count(*) as n from unnest(array_agg(cause)) cause where cause is not null group by 1) c) as causes
  from (
    select s.*, d.status, d.duration_ms, d.event_type, ${causeOf('d')} as cause, date_trunc('hour', id_time(d.id), 'UTC') as hour,
      (id_time(d.id) at time zone 'utc')::date as day
    from deliveries d cross join lateral (values (d.webhook_id, d.user_id), ('', d.user_id), ('', '')) s(webhook_id, user_id)
    where d.id < (select ${below} from summing) and d.id >= id_floor('delivery', (select log_from from summing))
  ) d group by 1, 2, 3`;

const told = (table: string, unit: string): string => `
  select ${unit} as unit, webhook_id, user_id,
    jsonb_strip_nulls(to_jsonb(s) - '{webhook_id,user_id,hour,day,types,causes,rare}'::text[]) as sums, types, causes
  from ${table} s`;

interface Differing {
  readonly sum: Record<string, number> | null;
  readonly log: Record<string, number> | null;
}

/** Rows of sums that are not what the log has, and rows that are missing; at most ten of each. */
export async function wrongSums(pool: Pool): Promise<unknown[]> {
  const { rows } = await pool.query<Differing>(`
    (select 'hour' as what, coalesce(h.unit, t.unit)::text as unit, coalesce(h.webhook_id, t.webhook_id) as webhook_id,
       coalesce(h.user_id, t.user_id) as user_id, h.sums as sum, t.sums as log, h.types, t.types as log_types, h.causes, t.causes as log_causes
     from (${told('hour_sums', 'hour')}) h full join (${truth('hour', 'hours_below')}) t using (unit, webhook_id, user_id)
     where (h.unit is null and (user_id = '' or (webhook_id <> '' and (t.sums ->> 'total') <> (t.sums ->> 'delivered'))))
       or (h.unit is not null and (h.sums is distinct from t.sums or h.causes is distinct from t.causes
         or (h.types is not null and h.types is distinct from t.types)))
     limit 10)
    union all
    (select 'day', coalesce(h.unit, t.unit)::text, coalesce(h.webhook_id, t.webhook_id), coalesce(h.user_id, t.user_id),
       h.sums, t.sums, h.types, t.types, h.causes, t.causes
     from (${told('day_sums', 'day')}) h full join (${truth('day', 'days_below')}) t using (unit, webhook_id, user_id)
     where not (webhook_id = '' and user_id <> '')
       and (h.sums is distinct from t.sums or h.types is distinct from t.types or h.causes is distinct from t.causes)
     limit 10)`);
  return rows.map(({ sum, log, ...row }) => ({ ...row, differs: differing(sum ?? {}, log ?? {}) }));
}

/** The counts that differ: as summed up, and as in the log. */
function differing(
  sum: Record<string, number>,
  log: Record<string, number>,
): Record<string, [number | undefined, number | undefined]> {
  const keys = [...new Set([...Object.keys(sum), ...Object.keys(log)])].filter((key) => sum[key] !== log[key]);
  return Object.fromEntries(keys.map((key) => [key, [sum[key], log[key]]]));
}
