// What the live feed reads: which deliveries changed, and up to when that is known for sure.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';

/** Of a receiver's answer: a watcher wants to recognise it, not to read it. */
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
 * The deliveries changed since a moment, oldest change first, of a few users or of everyone (null). A few, because PostgreSQL compares
 * each row with one after the other: beyond some twenty it is cheaper to be told of all.
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
  /** Where the next page begins; null after the last one. */
  readonly next: { readonly micros: number; readonly id: string } | null;
}

/**
 * A page of a watcher's past: looks at the next `max` changes of everyone's and returns those of `userId` (null: all). Bounded by
 * what it looks at and not by what it finds, so that someone with few deliveries cannot make it read for minutes.
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
  const result = await pool.query<DeliveryRow & { isMatch: boolean; number: number; micros: number }>({
    name: 'read-changes-page',
    text: pageStatement,
    values: [range.from.micros, range.from.id, range.untilMicros, range.userId, range.max],
  });
  const last = result.rows.at(-1);
  return {
    rows: result.rows.filter((row) => row.isMatch),
    next: last === undefined || last.number < range.max ? null : { micros: last.micros, id: last.id },
  };
}

const horizonStatement = `
select (extract(epoch from horizon) * 1000000)::float8 as "horizonMicros",
  (extract(epoch from now() - horizon) * 1000)::float8 as "ageMs"
from (
  select greatest(least(now(), min(xact_start)), now() - interval '1 minute') as horizon
  from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
) h`;

/** A delivery that was made and not tried yet has not changed, and is not in the index either: written as there, or it is not used. */
const hasChanged = `not (status = 'pending' and attempt_count = 0 and next_trigger = 'automatic')`;
const moment = (parameter: string): string => `timestamptz 'epoch' + ${parameter}::float8 * interval '1 microsecond'`;
const micros = `(extract(epoch from updated_at) * 1000000)::float8`;
const columns = deliveryColumns.replace('d.response,', `left(d.response, ${MAX_WATCHED_RESPONSE_CHARACTERS}) as response,`);

// The index on updated_at: 5,000 changes a second are some 10 ms of it.
const changesStatement = `
select id, user_id, ${micros}
from deliveries
where updated_at >= ${moment('$1')} and ($2::text[] is null or user_id = any ($2::text[])) and ${hasChanged}
order by updated_at limit $3`;

const loadStatement = `select ${columns} from deliveries d where id = any ($1::text[])`;

const pageStatement = `
with looked_at as materialized (
  select * from deliveries
  where updated_at >= ${moment('$1')} and (updated_at, id) > (${moment('$1')}, $2) and ${hasChanged}
    and ($3::float8 is null or updated_at < ${moment('$3')})
  order by updated_at, id limit $5
), d as (
  select *, ($4::text is null or user_id = $4) as is_match,
    row_number() over (order by updated_at, id) as number, count(*) over () as total
  from looked_at
)
select ${columns}, is_match as "isMatch", number::integer, ${micros} as micros from d where is_match or number = total order by number`;
