// The statements on holders, the processes that lease deliveries. Each has a number, and a session with an advisory lock under it.
import type { ClientBase, Pool } from 'pg';

/** Any number, as long as nothing else in this database locks by it and a second one. */
const LOCK_CLASS = 0x686f6d66;

/** The number that a lease in a row carries: `leased_until` is kept in whole milliseconds, and what is behind them is free. 0: none. */
export const holderOf = (leasedUntil: string): string => `(date_part('microseconds', ${leasedUntil})::bigint % 1000)`;

/** The end of a new lease: in whole milliseconds, and behind them its holder's number. */
export const leaseEnd = (leaseMs: string, holder: string): string =>
  `date_trunc('milliseconds', now() + ${leaseMs} * interval '1 millisecond') + ${holder} * interval '1 microsecond'`;

/** Takes a number for this session. Null: the next number is another's. */
export async function takeNumber(session: ClientBase, id: string): Promise<number | null> {
  const { rows } = await session.query<{ number: number; locked: boolean }>(
    `select number, pg_try_advisory_lock(${LOCK_CLASS}, number) as locked
     from (select nextval('holder_numbers')::integer as number offset 0) next`,
  );
  const taken = rows[0];
  if (taken?.locked !== true) return null;
  const inserted = await session.query(
    `insert into holders (id, number, locked_at) values ($1, $2, clock_timestamp()) on conflict do nothing`,
    [id, taken.number],
  );
  if (inserted.rowCount === 1) return taken.number;
  await session.query('select pg_advisory_unlock($1, $2)', [LOCK_CLASS, taken.number]);
  return null;
}

/**
 * Takes the number of an earlier session of this process again. `busy`: the server still has that session. `ended`: another process has
 * declared it dead, and others may attempt what it had leased.
 */
export async function retakeNumber(session: ClientBase, id: string, number: number): Promise<'taken' | 'busy' | 'ended'> {
  const { rows } = await session.query<{ locked: boolean }>('select pg_try_advisory_lock($1, $2) as locked', [
    LOCK_CLASS,
    number,
  ]);
  if (rows[0]?.locked !== true) {
    const { rowCount } = await session.query('select 1 from holders where id = $1 and ended_at is null', [id]);
    return rowCount === 1 ? 'busy' : 'ended';
  }
  const { rowCount } = await session.query(
    'update holders set locked_at = clock_timestamp() where id = $1 and ended_at is null',
    [id],
  );
  if (rowCount === 1) return 'taken';
  await session.query('select pg_advisory_unlock($1, $2)', [LOCK_CLASS, number]);
  return 'ended';
}

export interface MissingHolder {
  readonly id: string;
  readonly number: number;
  /** Whether its end is on record already. */
  readonly hasEnded: boolean;
  /** Whether a lease has passed since, so that none of its leases is left. */
  readonly isOver: boolean;
}

/**
 * Holders whose lock is free. One without a session since all sessions ended together is left out for one lease: it may be about to come back.
 * @param sessionLostAgoMs since this process lost a session itself, which may have been the end of all of them
 */
export async function listMissing(pool: Pool, leaseMs: number, sessionLostAgoMs: number): Promise<MissingHolder[]> {
  const { rows } = await pool.query<MissingHolder>({
    name: 'list-missing-holders',
    text: missing,
    values: [leaseMs, sessionLostAgoMs],
  });
  return rows;
}

const missing = `
select h.id, h.number, h.ended_at is not null as "hasEnded",
  coalesce(h.ended_at < now() - $1::float8 * interval '1 millisecond', false) as "isOver"
from holders h
cross join lateral (
  select greatest(pg_postmaster_start_time(), now() - least($2::float8, 86400000) * interval '1 millisecond') as at
) interruption
where (h.ended_at is not null or h.locked_at > interruption.at or interruption.at < now() - $1::float8 * interval '1 millisecond')
  and not exists (
    select 1 from pg_locks l
    where l.locktype = 'advisory' and l.classid = ${LOCK_CLASS} and l.objid = h.number::integer::oid and l.objsubid = 2 and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
  )`;

/** Records the end of a holder. False: it has a session again, or is gone. */
export async function endHolder(pool: Pool, id: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    // The lock stays until this is committed, so that the process cannot take its number again meanwhile.
    `update holders set ended_at = coalesce(ended_at, now()) where id = $1 and pg_try_advisory_xact_lock(${LOCK_CLASS}, number)`,
    [id],
  );
  return rowCount === 1;
}

export async function deleteHolder(client: Pool | ClientBase, id: string): Promise<void> {
  await client.query('delete from holders where id = $1', [id]);
}
