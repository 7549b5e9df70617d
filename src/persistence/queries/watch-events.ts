// What watchers of events read: whether there is something new for their users, and pages of one user's events.
import type { Pool } from 'pg';
import { isPattern } from '../../domain/subscription.ts';
import { idFloor } from '../../domain/ids.ts';
import { textArray } from '../array-parameter.ts';

/**
 * ms. An event is committed at most this long after the time in its id: a publisher gets its reply within ten seconds or an error. Events are in no
 * index but that of their ids, so a reader of what was committed since a moment begins this long before it.
 */
const MAX_COMMIT_DELAY_MS = 15_000;

export interface NewEvent {
  readonly id: string;
  /** Whom it concerns, of those that were asked for; null: everyone. */
  readonly userIds: readonly string[] | null;
}

/** The first `max` of the events committed since a moment, in microseconds since 1970 of a whole millisecond, that concern one of these users. */
export async function listNewEvents(
  pool: Pool,
  since: { readonly micros: number; readonly userIds: readonly string[]; readonly max: number },
): Promise<NewEvent[]> {
  const { rows } = await pool.query<NewEvent>({
    name: 'list-new-events',
    text: newEventsStatement,
    values: [floorOf(since.micros), momentOf(since.micros), textArray(since.userIds), since.max],
  });
  return rows;
}

export interface WatchedEvent {
  readonly id: string;
  readonly eventType: string;
  /** Canonical JSON text. */
  readonly data: string;
  readonly schemaVersion: number | null;
  readonly occurredAtMs: number;
  /** Microseconds since 1970. */
  readonly createdMicros: number;
}

export interface EventsRange {
  /** Committed at or after this moment, in microseconds since 1970 of a whole millisecond. */
  readonly fromMicros: number;
  readonly userId: string;
  /** Types and patterns; empty: all. */
  readonly subscriptions: readonly string[];
  /** A condition on payloads that was checked; null: all pass. */
  readonly filter: string | null;
}

export interface EventsPage {
  readonly events: readonly WatchedEvent[];
  /** The last id looked at, where the next page goes on; null after the last page. */
  readonly lookedTo: string | null;
}

/**
 * A page of the events of a range, by their ids. The bounds are on what it looks at as well as on what it finds, so a user with few events cannot
 * make it read for long, nor one with large ones fill the memory.
 * @param after the last id that was looked at; null: the first page
 */
export async function readEventsPage(
  pool: Pool,
  range: EventsRange,
  after: string | null,
  max: { readonly lookedAt: number; readonly events: number; readonly bytes: number },
): Promise<EventsPage> {
  const begin = after ?? floorOf(range.fromMicros);
  const { rows: ends } = await pool.query<{ id: string }>({
    name: 'end-of-events-page',
    text: 'select id from events where id > $1 order by id offset $2 limit 1',
    values: [begin, max.lookedAt - 1],
  });
  const end = ends[0]?.id ?? null;
  const patterns = range.subscriptions.filter(isPattern);
  const names = range.subscriptions.filter((name) => !isPattern(name));
  const { rows } = await pool.query<WatchedEvent & { readonly total: number; readonly passes: boolean }>({
    name: 'read-events-page',
    text: pageStatement,
    values: [
      begin,
      end,
      momentOf(range.fromMicros),
      range.userId,
      range.subscriptions.length === 0 ? null : textArray(names),
      textArray(patterns.map(likeOf)),
      max.events,
      max.bytes,
      range.filter,
    ],
  });
  const isCut = (rows[0]?.total ?? 0) > rows.length || rows.length === max.events;
  return { events: rows.filter(({ passes }) => passes), lookedTo: isCut ? (rows.at(-1)?.id ?? null) : end };
}

/** The largest id of those that were made too long ago to be committed since a moment. */
function floorOf(micros: number): string {
  return idFloor('event', Math.max(0, Math.floor(micros / 1000) - MAX_COMMIT_DELAY_MS));
}

/** As a parameter and not an expression, which PostgreSQL would compute for each row. Its microseconds are those of a whole millisecond. */
function momentOf(micros: number): string {
  return new Date(Math.floor(micros / 1000)).toISOString();
}

/** `order.*` as a pattern of LIKE. */
function likeOf(pattern: string): string {
  return `${pattern.slice(0, -1).replaceAll('_', String.raw`\_`)}%`;
}

// The time is compared first: it leaves what is new, and only that is compared with the users. 7 ms at 1,000 events a second, 35 ms at
// 5,000.
const newEventsStatement = `
select id, case when not broadcast then array(select u from unnest(user_ids) u where u = any ($3::text[])) end as "userIds"
from events
where id > $1 and created_at >= $2::timestamptz and (broadcast or user_ids && $3::text[])
order by id limit $4`;

// Payloads are read for the rows that are returned, not to sum them up. The filter is evaluated for these alone, so a page evaluates it as often as it
// may return events.
const pageStatement = `
with found as materialized (
  select e.id, e.event_type, e.data, e.schema_version, e.occurred_at, e.created_at
  from events e
  where e.id > $1 and ($2::text is null or e.id <= $2) and e.created_at >= $3::timestamptz
    and (e.broadcast or e.user_ids @> array[$4::text])
    and (e.deliver_before is null or e.deliver_before > now())
    and ($5::text[] is null or e.event_type = any ($5::text[]) or e.event_type like any ($6::text[]))
  order by e.id limit $7
), summed as (
  select *, count(*) over ()::integer as total, row_number() over (order by id) as number, sum(octet_length(data)) over (order by id) as bytes
  from found
)
select id, event_type as "eventType", data, schema_version as "schemaVersion", total,
  $9::text is null or (payload_document(data) @@ $9::text::jsonpath) is true as passes,
  (extract(epoch from occurred_at) * 1000)::float8 as "occurredAtMs", (extract(epoch from created_at) * 1000000)::float8 as "createdMicros"
from summed where number = 1 or bytes <= $8 order by id`;
