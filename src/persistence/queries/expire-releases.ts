// Deletes releases, resumes and replays alike, that ended long ago.
import type { Pool } from 'pg';

/** Deleted by one statement, so that none holds its locks for long. */
export const MAX_EXPIRED_RELEASES = 1000;

/**
 * Answers how many. Notes of deliveries that ended late go with their release, for no release is left to count them in.
 * @param keptDays since a release ended: as long as any delivery may be left that it made due
 */
export async function expireReleases(pool: Pool, keptDays: number): Promise<number> {
  const { rows } = await pool.query<{ n: number }>({
    name: 'expire-releases',
    text: statement,
    values: [keptDays, MAX_EXPIRED_RELEASES],
  });
  return rows[0]?.n ?? 0;
}

const statement = `
with expired as (
  delete from releases where no = any (array(
    select no from releases where ended_at < now() - make_interval(days => $1::integer) order by ended_at limit $2))
  returning no
), notes as (
  delete from release_notes where release_no in (select no from expired)
)
select count(*)::integer as n from expired`;
