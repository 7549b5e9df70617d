// The claim statement: takes due deliveries from PostgreSQL, a few of each webhook, and leases them.
import type { Pool, PoolClient } from 'pg';
import { plainArray, textArray } from '../array-parameter.ts';
import { leaseEnd } from './holders.ts';
import { isScheduled } from '../delivery-state.ts';

/**
 * Rows that are looked at by time first: twice a full claim, and a millisecond. When these are all that is due, only their webhooks are
 * read, however many others have something scheduled for later.
 */
export const MAX_LOOK = 1000;

/**
 * How far the turns have come: first by the day of the deliveries, named by its smallest id, then by webhook. Empty texts are the
 * beginning.
 */
export interface Turn {
  readonly dayFrom: string;
  readonly webhookId: string;
}

export const FIRST_TURN: Turn = { dayFrom: '', webhookId: '' };

export interface ClaimDueRequest {
  readonly leaseMs: number;
  /** The number of the process that claims. Without one no other process can end its leases early. */
  readonly holder?: number;
  readonly max: number;
  readonly perWebhook: number;
  /** Other limits for single webhooks; a wider one takes only what the others leave. */
  readonly room: ReadonlyMap<string, number>;
  /** What is behind this has its turn first. */
  readonly after: Turn;
  readonly maxWebhooks: number;
  /** Only deliveries that became due in the last so many milliseconds; null takes all. */
  readonly dueWithinMs: number | null;
}

export interface ClaimedRow {
  readonly deliveryId: string;
  readonly webhookId: string;
  /** `leased_until` in milliseconds since 1970, without its holder; a whole number, so that it comes back to the same timestamp. */
  readonly leasedUntilMs: number;
  readonly expirations: number;
}

export interface ClaimedDue {
  readonly claimed: readonly ClaimedRow[];
  /** Whether every webhook with something due was read, without a walk. */
  readonly isWhole: boolean;
  /** Whether the usual of each webhook filled the claim before the end of the walk. */
  readonly isFull: boolean;
  /** How many steps the walk took; 0 when there was none. */
  readonly steps: number;
  /** The last that was asked. */
  readonly last: Turn;
}

export async function claimDue(client: Pool | PoolClient, request: ClaimDueRequest): Promise<ClaimedDue> {
  const result = await client.query<ClaimRow>({
    name: 'claim-due',
    text: statement,
    rowMode: 'array',
    values: [
      request.after.webhookId,
      request.maxWebhooks,
      textArray([...request.room.keys()]),
      plainArray([...request.room.values()]),
      request.perWebhook,
      request.max,
      request.leaseMs,
      request.dueWithinMs,
      MAX_LOOK,
      request.holder ?? 0,
      request.after.dayFrom,
    ],
  });
  const claimed: ClaimedRow[] = [];
  let walked = { isWhole: false, isFull: false, steps: 0, last: FIRST_TURN };
  for (const [deliveryId, webhookId, number, expirations, dayFrom, isWhole, isFull] of result.rows) {
    if (deliveryId === null) walked = { isWhole, isFull, steps: number, last: { dayFrom, webhookId } };
    else claimed.push({ deliveryId, webhookId, leasedUntilMs: number, expirations });
  }
  return { claimed, ...walked };
}

/** One a delivery, and one with how far the turns have come, whose id is null and whose number is that of the steps. */
type ClaimRow = [
  deliveryId: string | null,
  webhookId: string,
  number: number,
  expirations: number,
  dayFrom: string,
  isWhole: boolean,
  isFull: boolean,
];

const isDueAndFree = `d.next_attempt_at > coalesce(now() - $8::float8 * interval '1 millisecond', '-infinity')
      and d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now())`;

// First `early`, along deliveries_next_attempt: when it sees all that is due, `seen` are the only webhooks to ask, those behind the last
// one of the claim before first, each in the partitions where it was seen. While the index is being built for partitions of a large table
// (maintenance/late-index.ts), it sees nothing.
//
// Otherwise there is a backlog, perhaps of one webhook: then the others are found by `walk`, a loose index scan over deliveries_due, one
// partition after the other. Each step is one descent to the next webhook of the partition and its earliest row there, so a webhook with a
// million due rows costs no more steps than one with a single row, and one whose earliest row is not due yet is not asked. Over all
// partitions at once a step was as many descents as there are partitions. `days` are the partitions in which something is due, and what
// lies before and between them, in order; `walk` relies on that order.
//
// Of each webhook the earliest few are locked, past those that others lock.
// Webhooks that may have more than usual share what the others leave: behind the usual, which `due` has locked already.
// The update goes by an array of ids, so that it prunes to their partitions and can never turn into a scan.
// The walk is read only as far as `due` needs it, or to its end when `due` is not full: `last` must not ask for more.
const statement = `
with recursive early as materialized (
  select d.webhook_id, d.id from deliveries d
  where ${isScheduled} and ${isDueAndFree}
    and (select i.indisvalid from pg_index i where i.indexrelid = 'deliveries_next_attempt'::regclass)
  order by d.next_attempt_at
  limit $9::integer
), look as materialized (
  select is_built, is_built and (select count(*) from early) < $9::integer as is_whole
  from (select i.indisvalid as is_built from pg_index i where i.indexrelid = 'deliveries_next_attempt'::regclass) i
), seen as (
  select webhook_id, min(id) as id_from, max(id) || '~' as id_to, row_number() over (order by webhook_id <= $1, webhook_id) as step
  from early where (select is_whole from look)
  group by webhook_id order by step
), partitions as materialized (
  select id_from, coalesce(lead(id_from) over (order by id_from), '~') as id_to from (
    select '' collate "C" as id_from
    union all
    select id_floor('delivery', to_date(substring(c.relname from '[0-9]{8}$'), 'YYYYMMDD')::timestamp at time zone 'utc') collate "C"
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'deliveries'::regclass and c.relname ~ '_[0-9]{8}$'
  ) bounds
  where not (select is_whole from look)
), days as materialized (
  select p.id_from, p.id_to from partitions p
  where not (select is_whole from look) and p.id_from >= $11 and case when (select is_built from look) then (
    select d.next_attempt_at from deliveries d
    where d.id >= p.id_from and d.id < p.id_to and ${isScheduled}
    order by d.next_attempt_at limit 1
  ) <= now() else true end
  order by p.id_from
), walk as (
  (select id_from, id_to, case when id_from = $11 then $1 else '' end collate "C" as webhook_id, null::timestamptz as next_attempt_at, 0 as step
   from days limit 1)
  union all
  select following.id_from, following.id_to, following.webhook_id, following.next_attempt_at, walk.step + 1
  from walk cross join lateral (
    select days.id_from, days.id_to, next.webhook_id, next.next_attempt_at
    from days cross join lateral (
      select d.webhook_id, d.next_attempt_at from deliveries d
      where d.id >= days.id_from and d.id < days.id_to and ${isScheduled}
        and d.webhook_id > case when days.id_from = walk.id_from then walk.webhook_id else '' end
      order by d.webhook_id, d.next_attempt_at limit 1
    ) next
    where days.id_from >= walk.id_from
    limit 1
  ) following
  where walk.step < $2::integer
), due as (
  select picked.id, asked.webhook_id, asked.id_from, asked.step
  from (
    select webhook_id, id_from, id_to, step from seen
    union all
    select webhook_id, id_from, id_to, step from walk where next_attempt_at <= now()
  ) asked
  left join unnest($3::text[], $4::integer[]) as room(webhook_id, places) on room.webhook_id = asked.webhook_id
  cross join lateral (
    select d.id from deliveries d
    where d.webhook_id = asked.webhook_id and d.id >= asked.id_from and d.id < asked.id_to and ${isDueAndFree}
    order by d.next_attempt_at
    limit least($5::integer, coalesce(room.places, $5::integer))
    for update skip locked
  ) picked
  limit $6::integer
), filled as (
  select count(*) as places, count(*) >= $6::integer as is_full from due
), wide as (
  select picked.id
  from (
    select webhook_id, places, count(*) over () as wider
    from unnest($3::text[], $4::integer[]) as room(webhook_id, places) where places > $5::integer
  ) room
  cross join lateral (
    select d.id from deliveries d
    where d.webhook_id = room.webhook_id and ${isDueAndFree}
    order by d.next_attempt_at
    offset $5::integer
    limit least(room.places - $5::integer, ($6::integer - (select places from filled))::integer / room.wider::integer)
    for update skip locked
  ) picked
), taken as (
  update deliveries d set
    leased_until = ${leaseEnd('$7::float8', '$10::integer')},
    lease_expirations = d.lease_expirations + (d.leased_until is not null)::integer
  where d.id = any (array(select id from due union all select id from wide))
  returning d.id, d.webhook_id, d.leased_until, d.lease_expirations
), last as (
  select webhook_id, id_from, step from (
    select webhook_id, id_from, step from due where (select is_full from filled)
    union all
    select webhook_id, id_from, step from walk where not (select is_full from filled)
  ) asked
  order by step desc limit 1
)
select id, webhook_id, (extract(epoch from date_trunc('milliseconds', leased_until)) * 1000)::float8, lease_expirations,
  null::text, null::boolean, null::boolean
from taken
union all
select null, coalesce(last.webhook_id, ''), coalesce(last.step, 0)::float8, 0,
  case when is_whole then '' else coalesce(last.id_from, '') end, is_whole, (select is_full from filled)
from look left join last on true`;
