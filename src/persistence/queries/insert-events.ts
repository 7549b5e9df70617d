// The publish statement: events, their idempotency keys and their deliveries, for a whole batch in one commit.
import type { Pool } from 'pg';
import { idFloor, timeOfId } from '../../domain/ids.ts';
import { arrayLiteral, plainArray, textArray, nullIfAllDefault } from '../array-parameter.ts';
import { expiredReason, Hold, holdsNew, MAX_ID_AGE_MS, MAX_ID_LEAD_MS } from '../delivery-state.ts';
import { deliveryIdOf, matching, ways } from '../matching.ts';
import { leaseEnd } from './holders.ts';
import { noteInserts } from './late-changes.ts';

export interface EventRow {
  readonly id: string;
  readonly eventType: string;
  /** Canonical JSON text. */
  readonly data: string;
  /** Of the schema of its type; null: the type has none. */
  readonly schemaVersion: number | null;
  readonly occurredAtMs: number;
  readonly publisher: string;
  readonly userIds: readonly string[];
  readonly broadcast: boolean;
  readonly traceparent: string | null;
  readonly idempotencyKey: string | null;
  readonly requestHash: string | null;
  /** Deliveries of one webhook with the same key are numbered, and where the webhook wants it attempted one at a time. */
  readonly orderingKey: string | null;
  /** No attempt begins later, in milliseconds since 1970; null: there is no such moment. */
  readonly deliverBeforeMs: number | null;
}

export interface InsertedDelivery {
  readonly deliveryId: string;
  readonly webhookId: string;
  /** Whose webhook it is. */
  readonly userId: string;
  /** The webhook's revision at that moment. */
  readonly revision: number;
  /** Whether it is leased on insert, so that the caller's process attempts it. */
  readonly isLeased: boolean;
  /** Whether it is held, because its webhook is paused: then nothing is to schedule it. */
  readonly isHeld: boolean;
  /** Whether it has ended, because the `deliver_before` of its event had passed. */
  readonly isExpired: boolean;
  /** Of an event with an ordering key; else null. */
  readonly ordering: InsertedOrdering | null;
}

export interface InsertedOrdering {
  readonly sequence: number;
  /** Null: its webhook takes the deliveries of a key in any order. Waiting ones are to be let alone until their turn. */
  readonly waits: boolean | null;
}

/** Which deliveries are leased on insert, for the caller's process, which attempts them at once. */
export interface InsertLeaseRequest {
  readonly leaseMs: number;
  /** The number of that process. Without one no other process can end its leases early. */
  readonly holder?: number;
  /** For each event, whether its deliveries are leased. */
  readonly events: readonly boolean[];
  /** Deliveries of these webhooks and users are scheduled instead. */
  readonly fullWebhookIds: readonly string[];
  readonly fullUserIds: readonly string[];
}

export interface InsertedEvents {
  /** By the event's id. An event with an idempotency key that is missing had its key taken. */
  readonly deliveries: Map<string, InsertedDelivery[]>;
  /** ms since 1970. When all of them were created. */
  readonly createdAtMs: number;
  /** `leased_until` of the leased ones in whole milliseconds since 1970, without its holder; null without a request for leases. */
  readonly leasedUntilMs: number | null;
}

/**
 * Writes the events that are new, and a delivery for each webhook that matches. The same (publisher, key) must not stand twice in one
 * batch.
 *
 * The fan-out is a join in the same statement, so a webhook committed a moment ago gets the event. A delivery's id is the time of its event
 * followed by a hash of (event, webhook): unique, in the event's partition, and found again without an index.
 *
 * Nothing is leased when the time in one of the ids is not about now: a lease on insert is found by that time (delivery-state.ts). Nor is
 * anything leased below `adopted_below`, where no statement looks for such leases any more. A database whose clock was set back gets there.
 */
export async function insertEvents(
  pool: Pool,
  events: readonly EventRow[],
  lease: InsertLeaseRequest | null,
): Promise<InsertedEvents> {
  const [oldestId, newestId] = boundsOf(events);
  const column = <Value>(of: (event: EventRow) => Value): Value[] => events.map(of);
  const orderingKeys = nullIfAllDefault(
    column((event) => event.orderingKey),
    null,
    textArray,
  );
  const deadlines = nullIfAllDefault(
    column((event) => event.deliverBeforeMs),
    null,
    plainArray,
  );
  const result = await pool.query<InsertedRow>({
    ...statementFor(orderingKeys !== null, deadlines !== null),
    rowMode: 'array',
    values: [
      textArray(column((event) => event.id)),
      textArray(column((event) => event.eventType)),
      textArray(column((event) => event.data)),
      plainArray(column((event) => event.occurredAtMs)),
      textArray(column((event) => event.publisher)),
      textArray(column((event) => arrayLiteral(event.userIds))),
      nullIfAllDefault(
        column((event) => event.broadcast),
        false,
        plainArray,
      ),
      nullIfAllDefault(
        column((event) => event.traceparent),
        null,
        textArray,
      ),
      nullIfAllDefault(
        column((event) => event.idempotencyKey),
        null,
        textArray,
      ),
      nullIfAllDefault(
        column((event) => event.requestHash),
        null,
        textArray,
      ),
      lease?.leaseMs ?? null,
      nullIfAllDefault(lease?.events ?? column(() => false), true, plainArray),
      textArray(lease?.fullWebhookIds ?? []),
      timeOfId(oldestId),
      timeOfId(newestId),
      idFloor('delivery', timeOfId(oldestId)),
      textArray(lease?.fullUserIds ?? []),
      lease?.holder ?? 0,
      nullIfAllDefault(
        column((event) => event.schemaVersion),
        null,
        plainArray,
      ),
      ...(orderingKeys === null ? [] : [orderingKeys]),
      ...(deadlines === null ? [] : [deadlines]),
    ],
  });
  const deliveries = new Map<string, InsertedDelivery[]>();
  let createdAtMs = 0;
  let leasedUntilMs: number | null = null;
  // Without a key an event cannot be a repeat, so the statement returns no row for the event itself.
  for (const event of events) if (event.idempotencyKey === null) deliveries.set(event.id, []);
  for (const row of result.rows) {
    const [number, deliveryId, webhookId, otherUserId, revision, isLeased, createdMs, leasedMs, sequence, waits, isExpired] =
      row;
    if (number === null) {
      createdAtMs = createdMs;
      leasedUntilMs = leasedMs;
      continue;
    }
    const event = events[number - 1];
    const eventId = event?.id ?? '';
    let list = deliveries.get(eventId);
    if (list === undefined) deliveries.set(eventId, (list = []));
    if (deliveryId !== null)
      list.push({
        deliveryId,
        webhookId,
        userId: otherUserId ?? event?.userIds[0] ?? '',
        revision,
        isLeased: isLeased === true,
        isHeld: isLeased === null && waits !== true,
        isExpired: isExpired === true,
        ordering: sequence == null ? null : { sequence: Number(sequence), waits: waits ?? null },
      });
  }
  return { deliveries, createdAtMs, leasedUntilMs };
}

/** The smallest and the largest id: ids sort by the time in them. */
function boundsOf(events: readonly EventRow[]): [string, string] {
  let oldest = events[0]?.id ?? '';
  let newest = oldest;
  for (const { id } of events) {
    if (id < oldest) oldest = id;
    if (id > newest) newest = id;
  }
  return [oldest, newest];
}

/** One a delivery, one (of the number alone) an event with a key, and one of the two moments alone. */
type InsertedRow = [
  number: number | null,
  deliveryId: string | null,
  webhookId: string,
  /** Null: the first of the event's own, who is not sent back with each delivery. */
  otherUserId: string | null,
  revision: number,
  /** Null: held, or waiting for its turn. */
  isLeased: boolean | null,
  createdMs: number,
  leasedMs: number | null,
  /** A bigint, as text. Of batches with ordering keys alone, as the next. */
  sequence?: string | null,
  waits?: boolean | null,
  /** Of batches with deadlines alone. */
  isExpired?: boolean | null,
];

/** What a batch with ordering keys or deadlines has besides: other batches are not to pay for it, so each kind has a text of its own. */
interface Variant {
  readonly hasKeys: boolean;
  readonly hasDeadlines: boolean;
}

const lookUp =
  ({ hasKeys, hasDeadlines }: Variant) =>
  ({ events, audience, active, eventType }: (typeof ways)[number]): string =>
    `
  select f.number, f.id as event_id, f.event_type, f.may_lease, f.user_ids[1] as first_user_id, ${hasKeys ? 'f.ordering_key, ' : ''}${hasDeadlines ? 'f.deliver_before, ' : ''}w.*
  from fresh f cross join lateral (
    select id as webhook_id, user_id, revision, hold as webhook_hold, tail_until${hasKeys ? ', ordering' : ''} from webhook_endpoints
    where ${audience} and ${active} and ${eventType} and ${matching.filter}
    offset 0
  ) w
  where ${events}`;

// Keys are taken in order, so that two batches that share some cannot deadlock. `offset 0` keeps the webhooks' side of each join
// an index look-up for each event: a plan made while there are few webhooks would else compare each with every event.
const statementOf = (variant: Variant): { readonly name: string; readonly text: string } => {
  const { hasKeys, hasDeadlines } = variant;
  const key = hasKeys ? ', ordering_key' : '';
  const place = hasKeys ? ', ordering_key, sequence, waits' : '';
  const nulls = `${hasKeys || hasDeadlines ? ', null, null' : ''}${hasDeadlines ? ', null' : ''}`;
  const deliveries = hasKeys ? 'placed' : 'matched';
  const deadlines = hasDeadlines ? `, $${hasKeys ? 21 : 20}::float8[]` : '';
  const isOpen = hasDeadlines ? ' and not is_expired' : '';
  const text = `
with incoming as materialized (
  select id, event_type, data, to_timestamp(occurred_ms / 1000.0) as occurred_at, publisher, user_ids::text[] as user_ids,
    coalesce(broadcast, false) as broadcast, traceparent, key, request_hash, coalesce(may_lease, true) as may_lease, schema_version${key},
    ${hasDeadlines ? 'to_timestamp(deliver_before_ms / 1000.0) as deliver_before, ' : ''}number::integer as number
  from unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::text[],
    $10::text[], $12::boolean[], $19::integer[]${hasKeys ? ', $20::text[]' : ''}${deadlines}) with ordinality
    as i(id, event_type, data, occurred_ms, publisher, user_ids, broadcast, traceparent, key, request_hash, may_lease, schema_version${key}${hasDeadlines ? ', deliver_before_ms' : ''}, number)
), taken as (
  insert into idempotency_keys as k (publisher, key, request_hash, event_id, expires_at)
  select publisher, key, request_hash, id, now() + interval '24 hours' from incoming where key is not null order by publisher, key
  on conflict (publisher, key) do update
    set request_hash = excluded.request_hash, event_id = excluded.event_id, expires_at = excluded.expires_at
    where k.expires_at < now()
  returning k.event_id
), fresh as materialized (
  select * from incoming where key is null or id in (select event_id from taken)
), clock as (
  select $14::float8 > now_ms - ${MAX_ID_AGE_MS} and $15::float8 < now_ms + ${MAX_ID_LEAD_MS} and $16::text >= adopted_below as is_now
  from (select date_part('epoch', now()) * 1000 as now_ms) n cross join adoption
), targets as (
  ${ways.map(lookUp(variant)).join('\n  union all\n  ')}
), matched as materialized (
  select ${deliveryIdOf('event_id', 'webhook_id')} as id,
    number, event_id, event_type, webhook_id, user_id, revision, ${holdsNew('webhook_hold')}${isOpen} as is_held,
    may_lease and is_now and webhook_hold = ${Hold.none} and webhook_id <> all ($13::text[]) and user_id <> all ($17::text[])${isOpen} as is_leased,
    case when webhook_hold = ${Hold.tail} then greatest(now(), tail_until) else now() end as due_at,
    nullif(user_id, first_user_id) as other_user_id${hasKeys ? ", ordering_key, ordering = 'key' as is_ordered" : ''}${hasDeadlines ? ', deliver_before, is_expired' : ''}
  from targets cross join clock${hasDeadlines ? ' cross join lateral (select coalesce(deliver_before <= now(), false) as is_expired) e' : ''}
), stored as (
  insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast, traceparent, schema_version${key}${hasDeadlines ? ', deliver_before' : ''})
  select id, event_type, data, occurred_at, publisher, user_ids, broadcast, traceparent, schema_version${key}${hasDeadlines ? ', deliver_before' : ''} from fresh
), ${hasKeys ? placedOf(hasDeadlines) : ''}made as (
  insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at, leased_until, held_at${place}${hasDeadlines ? `, ${expiredColumns}` : ''})
  select id, event_id, webhook_id, user_id, event_type,
    case when not (is_leased or is_held${hasKeys ? ' or waits is true' : ''}${hasDeadlines ? ' or is_expired' : ''}) then due_at end,
    case when is_leased then ${leaseEnd('$11::float8', '$18::integer')} end, case when is_held then now() end${place}${hasDeadlines ? `, ${expiredValues}` : ''}
  from ${deliveries}
), noted as (
  ${noteInserts(`from ${deliveries}`, hasDeadlines ? "case when is_expired then 'cancelled' else 'pending' end" : undefined)}
)
select number, id, webhook_id, other_user_id, revision, case when not is_held${hasKeys ? ' and waits is not true' : ''} then is_leased end, null::float8, null::float8${
    hasKeys ? ', sequence, waits' : hasDeadlines ? ', null::bigint, null::boolean' : ''
  }${hasDeadlines ? ', is_expired' : ''} from ${deliveries}
union all
select number, null, null, null, null, null, null, null${nulls} from fresh where key is not null
union all
select null, null, null, null, null, null, date_part('epoch', now()) * 1000,
  date_part('epoch', date_trunc('milliseconds', now() + $11::float8 * interval '1 millisecond')) * 1000${nulls}`;
  return { name: `insert-events${hasKeys ? '-in-order' : ''}${hasDeadlines ? '-in-time' : ''}`, text };
};

/** What had expired when it was published is ended by the insert itself. */
const expiredColumns = 'deliver_before, status, cancelled_at, cancel_reason, changed_at';
const expiredValues = `deliver_before, case when is_expired then 'cancelled' else 'pending' end, case when is_expired then now() end,
    case when is_expired then ${expiredReason} end, case when is_expired then clock_timestamp() end`;

// The lock on a head lasts until the commit, and its newest version is read, not that of the snapshot. So a second commit of the same key waits, and counts
// on: the numbers follow the order of the commits. Heads are locked in the order of their keys, as everywhere (ordering-heads.ts). The numbers come to the
// deliveries by a window over both, sorted: these sessions have no hash joins, and a nested loop would compare each with each. What has expired takes a
// number, and never the turn.
const placedOf = (hasDeadlines: boolean): string => {
  const deadline = hasDeadlines ? ', deliver_before, is_expired' : '';
  const nulls = hasDeadlines ? ', null::timestamptz, null::boolean' : '';
  return `heads as (
  insert into ordering_heads as h (webhook_id, ordering_key, last_sequence, turn_id, low_id, high_id)
  select webhook_id, ordering_key, count(*),
    case when bool_or(is_ordered) then (array_agg(id order by number)${hasDeadlines ? ' filter (where not is_expired)' : ''})[1] end, min(id), max(id)
  from matched where ordering_key is not null
  group by webhook_id, ordering_key order by webhook_id collate "C", ordering_key collate "C"
  on conflict (webhook_id, ordering_key) do update set
    last_sequence = h.last_sequence + excluded.last_sequence,
    turn_id = coalesce(h.turn_id, excluded.turn_id),
    low_id = case when h.turn_id is null then excluded.low_id else least(h.low_id, excluded.low_id) end,
    high_id = case when h.turn_id is null then excluded.high_id else greatest(h.high_id, excluded.high_id) end,
    touched_at = now()
  returning webhook_id, ordering_key, last_sequence, turn_id, clear_at
), numbered as (
  select number, id, event_id, event_type, webhook_id, user_id, revision, is_held, is_leased, due_at, other_user_id, ordering_key, is_ordered${deadline},
    max(last_sequence) over chain - count(number) over chain + row_number() over (chain order by number) as sequence,
    max(turn_id) over chain as turn_id, max(clear_at) over chain as clear_at
  from (
    select m.*, null::bigint as last_sequence, null::text as turn_id, null::timestamptz as clear_at from matched m where ordering_key is not null
    union all
    select null, null, null, null, webhook_id, null, null, null, null, null, null, ordering_key, null${nulls}, last_sequence, turn_id, clear_at from heads
  ) u window chain as (partition by webhook_id collate "C", ordering_key collate "C")
), turns as (
  select *, case when is_ordered${hasDeadlines ? ' and not is_expired' : ''} then id <> turn_id end as waits, coalesce(is_ordered and clear_at > now(), false) as is_early
  from numbered where number is not null
), placed as materialized (
  select number, id, event_id, event_type, webhook_id, user_id, revision, is_held and waits is not true as is_held,
    is_leased and waits is not true and not is_early as is_leased, case when is_early then greatest(due_at, clear_at) else due_at end as due_at,
    other_user_id, ordering_key, sequence, waits${deadline}
  from turns
  union all
  select number, id, event_id, event_type, webhook_id, user_id, revision, is_held, is_leased, due_at, other_user_id, null, null, null${deadline}
  from matched where ordering_key is null
), `;
};

const plain = statementOf({ hasKeys: false, hasDeadlines: false });
const inOrder = statementOf({ hasKeys: true, hasDeadlines: false });
const inTime = statementOf({ hasKeys: false, hasDeadlines: true });
const inOrderAndTime = statementOf({ hasKeys: true, hasDeadlines: true });

function statementFor(hasKeys: boolean, hasDeadlines: boolean): { readonly name: string; readonly text: string } {
  if (hasDeadlines) return hasKeys ? inOrderAndTime : inTime;
  return hasKeys ? inOrder : plain;
}
