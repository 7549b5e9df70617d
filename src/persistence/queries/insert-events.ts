// The publish statement: events, their idempotency keys and their deliveries, for a whole batch in one commit.
import type { Pool } from 'pg';
import { idFloor, timeOfId } from '../../domain/ids.ts';
import { arrayLiteral, plainArray, textArray, nullIfAllDefault } from '../array-parameter.ts';
import { expiredReason, Hold, holdsNew, MAX_ID_AGE_MS, MAX_ID_LEAD_MS, supersededReason } from '../delivery-state.ts';
import { deliveryIdOf, matching, ways } from '../matching.ts';
import { inTransaction } from '../transaction.ts';
import type { DeliveryRow } from './delivery-row.ts';
import { leaseEnd } from './holders.ts';
import { noteInserts } from './late-changes.ts';
import { type Newest, supersede } from './supersede-deliveries.ts';

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
  /** Older deliveries of one webhook and event type with the same end when this one is committed. */
  readonly collapseKey: string | null;
  /** Of its deliveries at one webhook: domain/chain.ts. */
  readonly chain: string | null;
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
  /** Why it has ended already: its `deliver_before` had passed, or the batch has a newer one with its collapse key. Null: it has not. */
  readonly endedAs: EndedAs | null;
  /** Of an event with a chain; else null. */
  readonly ordering: InsertedOrdering | null;
}

export type EndedAs = 'expired' | 'superseded';

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
  /** What was there before, and ended since it has newer ones with the same collapse keys. */
  readonly superseded: readonly DeliveryRow[];
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
  const query = queryFor(events, lease);
  if (events.every((event) => event.collapseKey === null))
    return { ...read(events, (await pool.query<InsertedRow>(query)).rows), superseded: [] };
  return inTransaction(pool, 'begin', async (client) => {
    const inserted = read(events, (await client.query<InsertedRow>(query)).rows);
    return { ...inserted, superseded: await supersede(client, newestOf(events, inserted.deliveries)) };
  });
}

function queryFor(events: readonly EventRow[], lease: InsertLeaseRequest | null) {
  const [oldestId, newestId] = boundsOf(events);
  const column = <Value>(of: (event: EventRow) => Value): Value[] => events.map(of);
  const chains = nullIfAllDefault(
    column((event) => event.chain),
    null,
    textArray,
  );
  const deadlines = nullIfAllDefault(
    column((event) => event.deliverBeforeMs),
    null,
    plainArray,
  );
  const collapseKeys = nullIfAllDefault(
    column((event) => event.collapseKey),
    null,
    textArray,
  );
  return {
    ...statementFor({ hasKeys: chains !== null, hasDeadlines: deadlines !== null, collapses: collapseKeys !== null }),
    rowMode: 'array' as const,
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
      ...[chains, deadlines, collapseKeys].filter((values) => values !== null),
    ],
  };
}

function read(events: readonly EventRow[], rows: readonly InsertedRow[]): Omit<InsertedEvents, 'superseded'> {
  const deliveries = new Map<string, InsertedDelivery[]>();
  let createdAtMs = 0;
  let leasedUntilMs: number | null = null;
  // Without a key an event cannot be a repeat, so the statement returns no row for the event itself.
  for (const event of events) if (event.idempotencyKey === null) deliveries.set(event.id, []);
  for (const row of rows) {
    const [number, deliveryId, webhookId, otherUserId, revision, isLeased, createdMs, leasedMs, sequence, waits, endedAs] = row;
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
        endedAs: endedAs ?? null,
        ordering: sequence == null ? null : { sequence: Number(sequence), waits: waits ?? null },
      });
  }
  return { deliveries, createdAtMs, leasedUntilMs };
}

/** Of each collapse key of a webhook the last delivery of the batch. */
function newestOf(events: readonly EventRow[], deliveries: InsertedEvents['deliveries']): Newest[] {
  const newest = new Map<string, Newest>();
  for (const { id, eventType, collapseKey, chain } of events) {
    if (collapseKey === null || chain === null) continue;
    for (const { deliveryId, webhookId } of deliveries.get(id) ?? [])
      newest.set(JSON.stringify([webhookId, chain, eventType, collapseKey]), {
        deliveryId,
        webhookId,
        orderingKey: chain,
        eventType,
        collapseKey,
      });
  }
  return [...newest.values()];
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
  /** Of batches with deadlines or collapse keys alone. */
  endedAs?: EndedAs | null,
];

/** What a batch has besides: other batches are not to pay for it, so each kind has a text of its own. */
interface Variant {
  /** Chains. */
  readonly hasKeys: boolean;
  readonly hasDeadlines: boolean;
  /** Has collapse keys, and so chains. */
  readonly collapses: boolean;
}

/** The columns that deliveries of such a batch have besides, each behind a comma. */
const ownColumns = ({ hasDeadlines, collapses }: Variant): string =>
  `${hasDeadlines ? ', deliver_before' : ''}${collapses ? ', collapse_key' : ''}`;

const lookUp =
  (variant: Variant) =>
  ({ events, audience, active, eventType }: (typeof ways)[number]): string => {
    const { hasKeys } = variant;
    return `
  select f.number, f.id as event_id, f.event_type, f.may_lease, f.user_ids[1] as first_user_id, ${hasKeys ? 'f.ordering_key, ' : ''}${variant.hasDeadlines ? 'f.deliver_before, ' : ''}${variant.collapses ? 'f.collapse_key, ' : ''}w.*
  from fresh f cross join lateral (
    select id as webhook_id, user_id, revision, hold as webhook_hold, tail_until${hasKeys ? ', ordering' : ''} from webhook_endpoints
    where ${audience} and ${active} and ${eventType} and ${matching.filter}
    offset 0
  ) w
  where ${events}`;
  };

// Keys are taken in order, so that two batches that share some cannot deadlock. `offset 0` keeps the webhooks' side of each join
// an index look-up for each event: a plan made while there are few webhooks would else compare each with every event.
const statementOf = (variant: Variant): { readonly name: string; readonly text: string } => {
  const { hasKeys, hasDeadlines, collapses } = variant;
  const mayEnd = hasDeadlines || collapses;
  const key = hasKeys ? ', ordering_key' : '';
  const own = ownColumns(variant);
  const place = hasKeys ? ', ordering_key, sequence, waits' : '';
  const nulls = `${hasKeys || mayEnd ? ', null, null' : ''}${mayEnd ? ', null' : ''}`;
  const deliveries = hasKeys ? 'placed' : 'matched';
  const keys = hasKeys ? ', $20::text[]' : '';
  const deadlines = hasDeadlines ? `, $${hasKeys ? 21 : 20}::float8[]` : '';
  const collapseKeys = collapses ? `, $${hasDeadlines ? 22 : 21}::text[]` : '';
  const isOpen = mayEnd ? ' and ended_as is null' : '';
  const text = `
with incoming as materialized (
  select id, event_type, data, to_timestamp(occurred_ms / 1000.0) as occurred_at, publisher, user_ids::text[] as user_ids,
    coalesce(broadcast, false) as broadcast, traceparent, key, request_hash, coalesce(may_lease, true) as may_lease, schema_version${key},
    ${hasDeadlines ? 'to_timestamp(deliver_before_ms / 1000.0) as deliver_before, ' : ''}${collapses ? 'collapse_key, ' : ''}number::integer as number
  from unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::text[],
    $10::text[], $12::boolean[], $19::integer[]${keys}${deadlines}${collapseKeys}) with ordinality
    as i(id, event_type, data, occurred_ms, publisher, user_ids, broadcast, traceparent, key, request_hash, may_lease, schema_version${key}${hasDeadlines ? ', deliver_before_ms' : ''}${collapses ? ', collapse_key' : ''}, number)
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
), ${mayEnd ? endsOf(variant) : ''}matched as materialized (
  select ${deliveryIdOf('event_id', 'webhook_id')} as id,
    number, event_id, event_type, webhook_id, user_id, revision, ${holdsNew('webhook_hold')}${isOpen} as is_held,
    may_lease and is_now and webhook_hold = ${Hold.none} and webhook_id <> all ($13::text[]) and user_id <> all ($17::text[])${isOpen}${collapses ? ' and collapse_key is null' : ''} as is_leased,
    case when webhook_hold = ${Hold.tail} then greatest(now(), tail_until) else now() end as due_at,
    nullif(user_id, first_user_id) as other_user_id${hasKeys ? `, ordering_key, ordering = 'key'${collapses ? ' or collapse_key is not null' : ''} as is_ordered` : ''}${own}${mayEnd ? ', ended_as' : ''}
  from ${mayEnd ? 'ends' : 'targets'} cross join clock
), stored as (
  insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast, traceparent, schema_version${key}${own})
  select id, event_type, data, occurred_at, publisher, user_ids, broadcast, traceparent, schema_version${collapses ? `, case when ordering_key collate "C" >= ' ' then ordering_key end` : key}${own} from fresh
), ${hasKeys ? placedOf(variant) : ''}made as (
  insert into deliveries (id, event_id, webhook_id, user_id, event_type, next_attempt_at, leased_until, held_at${place}${own}${mayEnd ? endColumns : ''})
  select id, event_id, webhook_id, user_id, event_type,
    case when not (is_leased or is_held${hasKeys ? ' or waits is true' : ''}${mayEnd ? ' or ended_as is not null' : ''}) then due_at end,
    case when is_leased then ${leaseEnd('$11::float8', '$18::integer')} end, case when is_held then now() end${place}${own}${mayEnd ? endValues : ''}
  from ${deliveries}
), noted as (
  ${noteInserts(`from ${deliveries}`, mayEnd ? "case when ended_as is null then 'pending' else 'cancelled' end" : undefined)}
)
select number, id, webhook_id, other_user_id, revision, case when not is_held${hasKeys ? ' and waits is not true' : ''} then is_leased end, null::float8, null::float8${
    hasKeys ? ', sequence, waits' : mayEnd ? ', null::bigint, null::boolean' : ''
  }${mayEnd ? ', ended_as' : ''} from ${deliveries}
union all
select number, null, null, null, null, null, null, null${nulls} from fresh where key is not null
union all
select null, null, null, null, null, null, date_part('epoch', now()) * 1000,
  date_part('epoch', date_trunc('milliseconds', now() + $11::float8 * interval '1 millisecond')) * 1000${nulls}`;
  return {
    name: `insert-events${hasKeys ? '-in-order' : ''}${hasDeadlines ? '-in-time' : ''}${collapses ? '-newest' : ''}`,
    text,
  };
};

/** What is too late when it is published, or has a newer one in its batch, is ended by the insert itself. */
const endsOf = ({ hasDeadlines, collapses }: Variant): string => {
  const isLate = hasDeadlines ? `when deliver_before <= now() then ${expiredReason} ` : '';
  const isOlder = collapses
    ? `when collapse_key is not null and number < max(number) over newest then ${supersededReason} `
    : '';
  const window = collapses
    ? ' window newest as (partition by webhook_id collate "C", ordering_key collate "C", event_type collate "C", collapse_key collate "C")'
    : '';
  return `ends as materialized (
  select *, case ${isLate}${isOlder}end as ended_as from targets${window}
), `;
};
const endColumns = ', status, cancelled_at, cancel_reason, changed_at';
const endValues = `, case when ended_as is null then 'pending' else 'cancelled' end, case when ended_as is not null then now() end,
    ended_as, case when ended_as is not null then clock_timestamp() end`;

// The lock on a head lasts until the commit, and its newest version is read, not that of the snapshot. So a second commit of the same key waits, and counts
// on: the numbers follow the order of the commits. Heads are locked in the order of their keys, as everywhere (ordering-heads.ts). The numbers come to the
// deliveries by a window over both, sorted: these sessions have no hash joins, and a nested loop would compare each with each. What has ended takes a
// number, and never the turn.
const placedOf = (variant: Variant): string => {
  const { hasDeadlines, collapses } = variant;
  const mayEnd = hasDeadlines || collapses;
  const own = `${ownColumns(variant)}${mayEnd ? ', ended_as' : ''}`;
  const nulls = `${hasDeadlines ? ', null::timestamptz' : ''}${collapses ? ', null::text' : ''}${mayEnd ? ', null::text' : ''}`;
  const isIn = collapses ? 'is_ordered and ended_as is null' : 'ended_as is null';
  return `heads as (
  insert into ordering_heads as h (webhook_id, ordering_key, last_sequence, turn_id, low_id, high_id)
  select webhook_id, ordering_key, count(*),
    case when bool_or(is_ordered) then (array_agg(id order by number)${mayEnd ? ` filter (where ${isIn})` : ''})[1] end, min(id), max(id)
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
  select number, id, event_id, event_type, webhook_id, user_id, revision, is_held, is_leased, due_at, other_user_id, ordering_key, is_ordered${own},
    max(last_sequence) over chain - count(number) over chain + row_number() over (chain order by number) as sequence,
    max(turn_id) over chain as turn_id, max(clear_at) over chain as clear_at
  from (
    select number, id, event_id, event_type, webhook_id, user_id, revision, is_held, is_leased, due_at, other_user_id, ordering_key, is_ordered${own},
      null::bigint as last_sequence, null::text as turn_id, null::timestamptz as clear_at
    from matched where ordering_key is not null
    union all
    select null, null, null, null, webhook_id, null, null, null, null, null, null, ordering_key, null${nulls}, last_sequence, turn_id, clear_at from heads
  ) u window chain as (partition by webhook_id collate "C", ordering_key collate "C")
), turns as (
  select *, case when is_ordered${mayEnd ? ' and ended_as is null' : ''} then id <> turn_id end as waits, coalesce(is_ordered and clear_at > now(), false) as is_early
  from numbered where number is not null
), placed as materialized (
  select number, id, event_id, event_type, webhook_id, user_id, revision, is_held and waits is not true as is_held,
    is_leased and waits is not true and not is_early as is_leased, case when is_early then greatest(due_at, clear_at) else due_at end as due_at,
    other_user_id, ordering_key, sequence, waits${own}
  from turns
  union all
  select number, id, event_id, event_type, webhook_id, user_id, revision, is_held, is_leased, due_at, other_user_id, null, null, null${own}
  from matched where ordering_key is null
), `;
};

/** Made when the first such batch comes, and kept. */
const statements = new Map<string, ReturnType<typeof statementOf>>();

function statementFor(variant: Variant): ReturnType<typeof statementOf> {
  const name = `${variant.hasKeys} ${variant.hasDeadlines} ${variant.collapses}`;
  let statement = statements.get(name);
  if (statement === undefined) statements.set(name, (statement = statementOf(variant)));
  return statement;
}
