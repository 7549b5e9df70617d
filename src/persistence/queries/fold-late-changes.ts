// Folds late changes into the sums: takes off what a delivery was, and adds what it is.
import { HOUR_MS } from '../../domain/time-units.ts';
import type { PoolClient } from 'pg';
import { idFloor, timeOfId } from '../../domain/ids.ts';
import { textArray } from '../array-parameter.ts';
import { added, addedWithRare, bucketOfDuration, causeOf, countColumns, counted } from './sum-columns.ts';

/**
 * Deletes late changes, `max` at most, and folds those of deliveries that are counted: ids below `hoursBelow` in hours, ids below
 * `daysBelow` in days. The others need no folding: the page that counts their delivery finds it changed. Returns how many there were.
 *
 * To be run in the snapshot and under the lock of sum-log.ts.
 */
export async function foldLateChanges(
  client: PoolClient,
  place: { readonly hoursBelow: string; readonly daysBelow: string },
  max: number | null,
): Promise<number> {
  const { rows } = await client.query<{ count: number; missing: [string, string, number][] | null }>({
    text: fold,
    values: [max, place.hoursBelow, place.daysBelow, hourInParts(place.hoursBelow)],
  });
  const [folded] = rows;
  // In the log these hours include the change already: they are counted there, not added up.
  if (folded?.missing?.length) await countHours(client, folded.missing, place.hoursBelow);
  return folded?.count ?? 0;
}

/** The hour of which a part is counted, in milliseconds since 1970: until the rest is, who has no row in it has no delivery in that part. */
function hourInParts(hoursBelow: string): number | null {
  const hourMs = Math.floor(timeOfId(hoursBelow) / HOUR_MS) * HOUR_MS;
  return hoursBelow > idFloor('delivery', hourMs) ? hourMs : null;
}

/** Makes the rows of hours that had none, because nothing was wrong in them. */
async function countHours(client: PoolClient, hours: readonly [string, string, number][], hoursBelow: string): Promise<void> {
  const ends = hours.map(([, , hourMs]) => idFloor('delivery', hourMs + HOUR_MS));
  await client.query({
    text: countHour,
    values: [
      textArray(hours.map(([webhookId]) => webhookId)),
      textArray(hours.map(([, userId]) => userId)),
      hours.map(([, , hourMs]) => hourMs),
      textArray(hours.map(([, , hourMs]) => idFloor('delivery', hourMs))),
      textArray(ends.map((end) => (end < hoursBelow ? end : hoursBelow))),
    ],
  });
}

const columns = countColumns.join(', ');

/** The changes of each hour or day, of one webhook (and of its user), and of the platform. */
const changesOf = (unit: 'hour' | 'day', where: string, withUsers: boolean): string => {
  const sets = (more: string): string =>
    [`(webhook_id, user_id, ${unit}${more})`, ...(withUsers ? [`(user_id, ${unit}${more})`] : []), `(${unit}${more})`].join(
      ', ',
    );
  const subject = `coalesce(webhook_id, '') as webhook_id, coalesce(user_id, '') as user_id, ${unit}`;
  return `
${unit}_counts as materialized (
  select ${subject}, ${counted('sign')} from signed ${where} group by grouping sets (${sets('')})
), ${unit}_causes as materialized (
  select webhook_id, user_id, ${unit}, jsonb_object_agg(cause, n) as causes from (
    select ${subject}, cause, sum(sign) as n from signed ${where} and cause is not null group by grouping sets (${sets(', cause')})
  ) c group by webhook_id, user_id, ${unit}
), ${unit}_types as materialized (
  select webhook_id, user_id, ${unit}, jsonb_object_agg(event_type, n) as types from (
    select ${subject}, event_type, sum(sign) as n from signed ${where} and is_new group by grouping sets (${sets(', event_type')})
  ) t group by webhook_id, user_id, ${unit}
)`;
};

const joined = (unit: 'hour' | 'day'): string =>
  `${unit}_counts c left join ${unit}_causes using (webhook_id, user_id, ${unit}) left join ${unit}_types using (webhook_id, user_id, ${unit})`;

const isInParts = `coalesce(c.hour = to_timestamp($4::float8 / 1000), false)`;
const hasRow = `exists (select 1 from hour_sums h where h.webhook_id = c.webhook_id and h.user_id = c.user_id and h.hour = c.hour offset 0)`;

// A day without a row had no delivery, nor had an hour of the platform or a part of an hour: there the change is the whole sum. An hour of
// a webhook or a user without a row has deliveries that were not counted.
//
// Only `insert … on conflict` changes rows: it uses the key, even when the planner has no statistics of these tables.
const fold = `
with taken as (
  delete from late_changes where ctid = any (array(select ctid from late_changes limit $1)) returning *
), signed as materialized (
  select t.webhook_id, t.user_id, t.event_type, t.delivery_id, t.delivery_id < $3 as is_in_day, old_status is null as is_new,
    date_trunc('hour', id_time(t.delivery_id), 'UTC') as hour, (id_time(t.delivery_id) at time zone 'utc')::date as day, x.*
  from taken t cross join lateral (
    select 1 as sign, t.status, ${bucketOfDuration('t.duration_ms')} as b, t.cause
    union all
    select -1, t.old_status, ${bucketOfDuration('t.old_duration_ms')}, t.old_cause where t.old_status is not null
  ) x
  where t.delivery_id < $2
), ${changesOf('hour', 'where true', true)}, ${changesOf('day', 'where is_in_day', false)}, rare as materialized (
  select hour, jsonb_object_agg(event_type, ids) as rare from (
    select hour, event_type, jsonb_agg(delivery_id) as ids from signed where is_new group by hour, event_type
  ) r group by hour
), hours as (
  insert into hour_sums as s (webhook_id, user_id, hour, ${columns}, types, causes, rare)
  select c.webhook_id, c.user_id, c.hour, ${columns}, types, causes, case when c.webhook_id = '' and c.user_id = '' then rare end
  from ${joined('hour')} left join rare using (hour)
  where (c.webhook_id = '' and c.user_id = '') or ${isInParts} or ${hasRow}
  on conflict (webhook_id, user_id, hour) do update set ${addedWithRare}
), days as (
  insert into day_sums as s (webhook_id, user_id, day, ${columns}, types, causes)
  select c.webhook_id, c.user_id, c.day, ${columns}, types, causes from ${joined('day')}
  on conflict (webhook_id, user_id, day) do update set ${added}
)
select (select count(*)::integer from taken) as count, (
  select jsonb_agg(jsonb_build_array(c.webhook_id, c.user_id, extract(epoch from c.hour) * 1000)) from hour_counts c
  where c.webhook_id <> '' and c.total <> c.delivered and not ${isInParts} and not ${hasRow}
) as missing`;

const countHour = `
insert into hour_sums (webhook_id, user_id, hour, ${columns}, causes)
select x.webhook_id, x.user_id, to_timestamp(x.hour_ms / 1000), ${columns}, causes
from unnest($1::text[], $2::text[], $3::float8[], $4::text[], $5::text[]) as x(webhook_id, user_id, hour_ms, first_id, end_id)
cross join lateral (
  select ${counted()} from (
    select status, ${bucketOfDuration('d.duration_ms')} as b from deliveries d
    where d.webhook_id = x.webhook_id and d.id >= x.first_id and d.id < x.end_id offset 0
  ) d having count(*) > 0
) counts
cross join lateral (
  select jsonb_object_agg(cause, n) as causes from (
    select ${causeOf('d')} as cause, count(*) as n from deliveries d
    where d.webhook_id = x.webhook_id and d.id >= x.first_id and d.id < x.end_id and d.error_code is not null group by 1
  ) c where cause is not null
) causes`;
