// What the live feed reads: which deliveries changed, and until when no other change can appear.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { MAX_ID_LEAD_MS, MAX_UNINDEXED_CHANGE_MS } from '../delivery-state.ts';
import { horizonWithin } from './horizon.ts';

/** Characters of a response: a watcher wants to recognise it, not to read it. */
export const MAX_WATCHED_RESPONSE_CHARACTERS = 1024;

/**
 * The horizon, in microseconds since 1970: every change before it is committed and visible to statements that start from now on.
 * A change carries the time of its statement, so one that is not visible yet belongs to a transaction that is still open, and
 * lies after the start of the oldest one. Anything open for a minute is no writer of ours: their statements end after ten seconds.
 */
export async function readHorizon(pool: Pool): Promise<{ horizonMicros: number; ageMs: number }> {
  const { rows } = await pool.query<{ horizonMicros: number; ageMs: number }>({ name: 'read-horizon', text: horizonStatement });
  const [row] = rows;
  if (row === undefined) throw new Error('the horizon is missing');
  return row;
}

export interface Change {
  readonly id: string;
  readonly userId: string;
  readonly micros: number;
}

/**
 * The deliveries changed since a moment, oldest change first, of a few users or of everyone (null). A few, because PostgreSQL compares each
 * row with one after the other: beyond some twenty it is cheaper to read all changes.
 */
export async function listChanges(
  pool: Pool,
  since: { readonly micros: number; readonly userIds: readonly string[] | null; readonly max: number },
): Promise<Change[]> {
  const result = await pool.query<[string, string, number]>({
    name: 'list-changes',
    text: changesStatement,
    rowMode: 'array',
    values: [since.micros, since.userIds === null ? null : textArray(since.userIds), since.max],
  });
  return result.rows.map(([id, userId, changedMicros]) => ({ id, userId, micros: changedMicros }));
}

/** As they stand now. */
export async function loadChanged(pool: Pool, ids: readonly string[]): Promise<DeliveryRow[]> {
  const { rows } = await pool.query<DeliveryRow>({ name: 'load-changed', text: loadStatement, values: [textArray(ids)] });
  return rows;
}

export interface ChangesPage {
  readonly rows: readonly DeliveryRow[];
  /** Where the next page begins, the id exclusive; null after the last one. */
  readonly next: { readonly micros: number; readonly id: string } | null;
}

/**
 * A page of a watcher's past: looks at the next `max` changes of everyone and returns those of `userId` (null: all). The bound is on what
 * it looks at, not on what it finds, so a user with few deliveries cannot make it read for minutes.
 */
export async function readChangesPage(
  pool: Pool,
  range: {
    readonly from: { readonly micros: number; readonly id: string };
    /** Exclusive; null: to the end. */
    readonly untilMicros: number | null;
    readonly userId: string | null;
    readonly max: number;
  },
): Promise<ChangesPage> {
  const result = await pool.query<PageRow>({
    name: 'read-changes-page',
    text: pageStatement,
    values: [range.from.micros, range.from.id, range.untilMicros, range.userId, range.max],
  });
  const last = result.rows.at(-1);
  const rows = result.rows.filter((row) => row.isMatch);
  if (last?.number === range.max) return { rows, next: { micros: last.micros, id: last.id } };
  const endsAtMicros = last?.endsAtMicros ?? null;
  return { rows, next: endsAtMicros === range.untilMicros || endsAtMicros === null ? null : { micros: endsAtMicros, id: '' } };
}

/** One a match, and the last that was looked at; a single one without a delivery when nothing was. */
type PageRow = DeliveryRow & {
  readonly isMatch: boolean | null;
  readonly number: number | null;
  readonly micros: number;
  /** Where the page's stretch of time ends; null: it has no end. */
  readonly endsAtMicros: number | null;
};

const horizonStatement = `
select (extract(epoch from horizon) * 1000000)::float8 as "horizonMicros",
  (extract(epoch from now() - horizon) * 1000)::float8 as "ageMs"
from (${horizonWithin('1 minute')}) h`;

const moment = (parameter: string): string => `(timestamptz 'epoch' + ${parameter}::float8 * interval '1 microsecond')`;
const micros = (time: string): string => `(extract(epoch from ${time}) * 1000000)::float8`;
const columns = deliveryColumns.replace('d.response,', `left(d.response, ${MAX_WATCHED_RESPONSE_CHARACTERS}) as response,`);

/** The first id of those that may have changed since without an entry in the index of changes. */
const unindexedSince = (time: string): string =>
  `id_floor('delivery', greatest(timestamptz 'epoch', ${time} - interval '${MAX_UNINDEXED_CHANGE_MS} milliseconds'))`;
/** Delivered at once: attempted, and not in that index. */
const isDeliveredAtOnce = 'changed_at is null and attempt_count > 0';

// The index of changes, and the youngest ids. Measured with 10,000 deliveries a second, 2026-11-27: 65 to 85 ms for a second of changes, most
// of it for the 120,000 ids of the time before.
const changesStatement = `
select id, user_id, ${micros('at')} from (
  (select id, user_id, changed_at as at from deliveries
   where changed_at >= ${moment('$1')} and ($2::text[] is null or user_id = any ($2::text[]))
   order by changed_at limit $3)
  union all
  (select id, user_id, updated_at from deliveries
   where id >= ${unindexedSince(moment('$1'))} and updated_at >= ${moment('$1')} and ${isDeliveredAtOnce}
     and ($2::text[] is null or user_id = any ($2::text[])))
) c
order by at limit $3`;

const loadStatement = `select ${columns} from deliveries d where id = any ($1::text[])`;

// A page is a range of time. It ends after so many ids, or so many changes in the index; it has a millisecond at least, for one event may
// have thousands of deliveries. An id may be from a clock that is ahead.
const pageStatement = `
with stretch as materialized (
  select least(${moment('$3')}, case when enough_at is not null then greatest(enough_at, ${moment('$1')} + interval '1 millisecond') end) as ends_at
  from (
    select least(
      (select id_time(id) from deliveries where id >= id_floor('delivery', ${moment('$1')}) order by id offset $5 limit 1),
      (select changed_at from deliveries where changed_at >= ${moment('$1')} order by changed_at offset $5 limit 1)
    ) as enough_at
  ) e
), looked_at as materialized (
  select id, user_id, at from (
    select id, user_id, changed_at as at from deliveries
    where changed_at >= ${moment('$1')} and changed_at < (select coalesce(ends_at, 'infinity') from stretch)
    union all
    select id, user_id, updated_at from deliveries
    where id >= ${unindexedSince(moment('$1'))}
      and id < (select coalesce(id_floor('delivery', ends_at + interval '${MAX_ID_LEAD_MS} milliseconds'), '~') from stretch)
      and updated_at >= ${moment('$1')} and updated_at < (select coalesce(ends_at, 'infinity') from stretch) and ${isDeliveredAtOnce}
  ) c
  where (at, id) > (${moment('$1')}, $2)
  order by at, id limit $5
), numbered as (
  select id, at, ($4::text is null or user_id = $4) as is_match, row_number() over (order by at, id) as number, count(*) over () as total
  from looked_at
)
select ${columns}, is_match as "isMatch", number::integer, ${micros('at')} as micros, ${micros('ends_at')} as "endsAtMicros"
from stretch left join (numbered n join deliveries d using (id)) on is_match or number = total
order by number`;
