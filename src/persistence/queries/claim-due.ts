// The claim statement: takes due deliveries from PostgreSQL, a few of each webhook, and holds them for one lease.
import type { Pool, PoolClient } from 'pg';
import { plainArray, textArray } from '../array-parameter.ts';
import { leaseEnd } from './holders.ts';

/**
 * What is due is looked at by time first, up to so many rows: twice a full claim, and a millisecond. When these are all, only their
 * webhooks are asked, however many others have something scheduled for later.
 */
export const MAX_LOOK = 1000;

export interface ClaimDueRequest {
  readonly leaseMs: number;
  /** The number of the process that claims; without one the leases simply run out. */
  readonly holder?: number;
  readonly max: number;
  readonly perWebhook: number;
  /** Other limits for single webhooks; what is wider than usual takes only what the others leave. */
  readonly room: ReadonlyMap<string, number>;
  /** Webhooks behind this one have their turn first; empty begins with the first. */
  readonly afterWebhookId: string;
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
  /** Whether every webhook with something due was asked: there was no need to walk. */
  readonly isWhole: boolean;
  /** Whether the usual of each webhook filled the claim before the end of the walk. */
  readonly isFull: boolean;
  /** How many webhooks the walk saw, and the last of them; nothing when the claim was full before its end. */
  readonly webhooks: number;
  readonly lastWebhookId: string;
}

export async function claimDue(client: Pool | PoolClient, request: ClaimDueRequest): Promise<ClaimedDue> {
  const result = await client.query<[string | null, string, number, number]>({
    name: 'claim-due',
    text: statement,
    rowMode: 'array',
    values: [
      request.afterWebhookId,
      request.maxWebhooks,
      textArray([...request.room.keys()]),
      plainArray([...request.room.values()]),
      request.perWebhook,
      request.max,
      request.leaseMs,
      request.dueWithinMs,
      MAX_LOOK,
      request.holder ?? 0,
    ],
  });
  const claimed: ClaimedRow[] = [];
  let walked = { isWhole: false, isFull: true, webhooks: 0, lastWebhookId: '' };
  for (const [deliveryId, webhookId, number, expirations] of result.rows) {
    if (deliveryId === null) walked = { isWhole: expirations === 1, isFull: false, webhooks: number, lastWebhookId: webhookId };
    else claimed.push({ deliveryId, webhookId, leasedUntilMs: number, expirations });
  }
  return { claimed, ...walked };
}

// First `early`, along deliveries_next_attempt: when it sees all that is due, `seen` are the only webhooks to ask, those behind the last
// one of the claim before first. While the index is being built for partitions of a large table (maintenance/due-index.ts), it sees nothing.
//
// Otherwise there is a backlog, perhaps of one webhook: then the others are found by `walk`, a loose index scan over deliveries_due. Each
// step is one descent to the next webhook and its earliest row, so a webhook with a million due rows costs no more steps than one with a
// single row, and one whose earliest row is not due yet is not asked.
//
// Of each webhook the earliest few are locked, past those that others lock.
// Webhooks that may have more than usual share what the others leave: behind the usual, which `due` has locked already.
// The update goes by an array of ids, so that it prunes to their partitions and can never turn into a scan.
// The walk is read only as far as `due` needs it, or to its end when `due` is not full: the last line must not ask for more.
// Measured with 1,000,000 due rows of 1000 webhooks, ten partitions, on busy cores (load 12): 17 ms a claim of 100, of which the
// update is the larger part; 52 ms when the whole walk of 500 was read each time.
const statement = `
with recursive early as materialized (
  select d.webhook_id from deliveries d
  where d.next_attempt_at is not null
    and d.next_attempt_at > coalesce(now() - $8::float8 * interval '1 millisecond', '-infinity')
    and d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now())
    and (select i.indisvalid from pg_index i where i.indexrelid = 'deliveries_next_attempt'::regclass)
  order by d.next_attempt_at
  limit $9::integer
), look as materialized (
  select count(*) < $9::integer
    and (select i.indisvalid from pg_index i where i.indexrelid = 'deliveries_next_attempt'::regclass) as is_whole
  from early
), seen as (
  select webhook_id from early where (select is_whole from look)
  group by webhook_id order by webhook_id <= $1, webhook_id
), walk as (
  (select d.webhook_id, d.next_attempt_at, 1 as step from deliveries d
   where not (select is_whole from look) and d.next_attempt_at is not null and d.webhook_id > $1
   order by d.webhook_id, d.next_attempt_at limit 1)
  union all
  select following.webhook_id, following.next_attempt_at, walk.step + 1
  from walk cross join lateral (
    select d.webhook_id, d.next_attempt_at from deliveries d
    where d.next_attempt_at is not null and d.webhook_id > walk.webhook_id
    order by d.webhook_id, d.next_attempt_at limit 1
  ) following
  where walk.step < $2::integer
), due as (
  select picked.id
  from (select webhook_id from seen union all select webhook_id from walk where next_attempt_at <= now()) asked
  left join unnest($3::text[], $4::integer[]) as room(webhook_id, places) on room.webhook_id = asked.webhook_id
  cross join lateral (
    select d.id from deliveries d
    where d.webhook_id = asked.webhook_id
      and d.next_attempt_at > coalesce(now() - $8::float8 * interval '1 millisecond', '-infinity')
      and d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now())
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
    where d.webhook_id = room.webhook_id
      and d.next_attempt_at > coalesce(now() - $8::float8 * interval '1 millisecond', '-infinity')
      and d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now())
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
)
select id, webhook_id, (extract(epoch from date_trunc('milliseconds', leased_until)) * 1000)::float8, lease_expirations from taken
union all
select null, coalesce(max(webhook_id), ''), count(*)::float8, (select is_whole from look)::integer
from walk where not (select is_full from filled) having not (select is_full from filled)`;
