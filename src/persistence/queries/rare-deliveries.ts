// Deliveries of an event type that is rare everywhere: the sums of the platform name them, so a list need not look for them in the log.
import type { PoolClient } from 'pg';
import { hasMoreThan } from './delivery-at.ts';
import { contentOf, type DeliveryFilter, hasStatus, isOneOf, Parameters, rangeOf, where } from './delivery-filter.ts';

/** Named deliveries that a list looks up by their ids, each a descent of the primary key: 10 ms. A type with more is not rare. */
const MAX_NAMED = 1000;

/**
 * The ids that pass the filter, newest first. Null: the type is not rare, or more than `maxOpen` deliveries are not summed up yet; then the log is to be
 * searched. One that was made late, in an hour that is counted, is named within seconds.
 */
export async function rareDeliveries(client: PoolClient, filter: DeliveryFilter, maxOpen: number): Promise<string[] | null> {
  const { eventType } = filter;
  if (eventType === null) return null;
  const { rows: named } = await client.query<{ ids: string[]; isRare: boolean; hoursBelow: string }>({
    name: 'rare-deliveries-named',
    text: namedBySums,
    values: [eventType, filter.fromId, filter.belowId, MAX_NAMED],
  });
  const [found] = named;
  if (found === undefined || !found.isRare) return null;
  // Those of several webhooks lie in no one order: all are counted then, which may be more.
  const webhookId = filter.webhookIds.length === 1 ? (filter.webhookIds[0] ?? null) : null;
  const open = { fromId: later(filter.fromId, found.hoursBelow), belowId: filter.belowId, webhookId };
  if (await hasMoreThan(client, open, maxOpen)) return null;
  const values = new Parameters();
  const passing = [...ofCaller(filter, values), ...rangeOf(filter, values)];
  const ids = `d.id = any (string_to_array(${values.add(found.ids.join(','))}, ','))`;
  // One in an hour that is counted in part is named, and above the place of the sums it is not.
  const below = `d.id < ${values.add(found.hoursBelow)}`;
  const above = `d.id >= ${values.add(found.hoursBelow)}`;
  const { rows } = await client.query<{ id: string }>(
    `select d.id from deliveries d ${where([ids, below, ...passing])}
     union all
     select d.id from deliveries d ${where([above, ...passing])}
     order by id desc`,
    values.all,
  );
  return rows.map(({ id }) => id);
}

/** Of all users or of one by the primary key; of one webhook by its own index. */
function ofCaller(filter: DeliveryFilter, values: Parameters): string[] {
  const { userId, webhookIds, statuses } = filter;
  const conditions: string[] = [];
  if (webhookIds.length > 0) conditions.push(isOneOf('d.webhook_id', webhookIds, values));
  if (userId !== null) conditions.push(`d.user_id = ${values.add(userId)}`);
  if (statuses.length > 0) conditions.push(hasStatus(statuses));
  return [...conditions, ...contentOf(filter, values)];
}

function later(one: string | null, other: string): string {
  return one !== null && one > other ? one : other;
}

// An hour of the platform without a row had no delivery. Every hour that has the type must name all of it.
const namedBySums = `
with hours as materialized (
  select (types ->> $1)::bigint as n, rare -> $1 as ids from hour_sums
  where webhook_id = '' and user_id = '' and types ? $1
    and ($2::text is null or hour >= date_trunc('hour', id_time($2::text), 'UTC')) and ($3::text is null or hour <= id_time($3::text))
)
select coalesce(bool_and(h.ids is not null) filter (where h.n is not null), true) and coalesce(sum(h.n), 0) <= $4::integer as "isRare", s.hours_below as "hoursBelow",
  case when coalesce(sum(h.n), 0) <= $4::integer
    then array(select jsonb_array_elements_text(ids) from hours where ids is not null) else '{}' end as ids
from summing s left join hours h on true group by s.hours_below`;
