// What each process reports of itself: whether Redis serves it, and when Redis last served it.
import type { Pool } from 'pg';

/** Rows of processes that ended without taking theirs away are deleted after so long, by the next one that starts. */
const FORGET_AFTER = '1 day';

export interface Presence {
  readonly id: string;
  /** Whether this process sends deliveries. */
  readonly claims: boolean;
  readonly isServed: boolean;
  /** ms since Redis last replied to a claim of this process. */
  readonly claimedAgoMs: number;
}

/** Of the others that send deliveries. */
export interface OthersPresence {
  /** Whether Redis serves another process that is alive. */
  readonly isAnyServed: boolean;
  /** Whether another process that is alive claims without Redis. */
  readonly isAnyCutOff: boolean;
  /** Since Redis can last have given something to another process that it does not serve now; null when there is none. */
  readonly claimedAgoMs: number | null;
}

export async function writePresence(pool: Pool, { id, claims, isServed, claimedAgoMs }: Presence): Promise<void> {
  await pool.query({
    name: 'write-presence',
    text: `insert into processes (id, seen_at, claims, is_served, claimed_at) values ($1, now(), $2, $3, now() - $4::float8 * interval '1 millisecond')
      on conflict (id) do update set seen_at = excluded.seen_at, is_served = excluded.is_served, claimed_at = excluded.claimed_at`,
    values: [id, claims, isServed, claimedAgoMs],
  });
}

export async function deletePresence(pool: Pool, id: string): Promise<void> {
  await pool.query(
    `delete from processes where id = $1 or abs(extract(epoch from now() - seen_at)) > extract(epoch from interval '${FORGET_AFTER}')`,
    [id],
  );
}

/** @param deadAfterMs a process that has not written for so long has ended or hangs; its report counts no more */
export async function readOthers(pool: Pool, id: string, deadAfterMs: number): Promise<OthersPresence> {
  const { rows } = await pool.query<{ served: boolean; cut_off: boolean; claimed_ago_ms: number | null }>({
    name: 'read-others-presence',
    // Also a clock that has stepped back must not make a dead process look alive for long.
    text: `
      with others as (
        select is_served, claimed_at, seen_at, abs(extract(epoch from now() - seen_at)) * 1000 < $2::float8 as is_alive
        from processes where id <> $1 and claims
      )
      select coalesce(bool_or(is_alive and is_served), false) as served,
        coalesce(bool_or(is_alive and not is_served), false) as cut_off,
        (extract(epoch from now() - max(case
          when not is_alive and is_served then seen_at + $2::float8 * interval '1 millisecond'
          when not is_served then claimed_at end)) * 1000)::float8 as claimed_ago_ms
      from others`,
    values: [id, deadAfterMs],
  });
  const row = rows[0];
  return {
    isAnyServed: row?.served ?? false,
    isAnyCutOff: row?.cut_off ?? false,
    claimedAgoMs: row?.claimed_ago_ms ?? null,
  };
}

/** Whether Redis does not serve some process that is alive, of whatever role: Redis misses what that process schedules. */
export async function isAnyCutOff(pool: Pool, deadAfterMs: number): Promise<boolean> {
  const { rows } = await pool.query<{ cut_off: boolean }>({
    name: 'is-any-cut-off',
    text: `select exists (
      select 1 from processes where not is_served and abs(extract(epoch from now() - seen_at)) * 1000 < $1::float8
    ) as cut_off`,
    values: [deadAfterMs],
  });
  return rows[0]?.cut_off ?? false;
}
