// The horizon: the moment before which every commit is visible to statements that start from now on.
import type { Pool } from 'pg';

/** The name of our sessions. */
export const APPLICATION_NAME = 'homechef-webhooks';

/**
 * The longest wait for a transaction of another program: it writes none of our rows, however long a backup or a forgotten session keeps it
 * open.
 */
const MAX_FOREIGN_AGE = '1 minute';

/**
 * A select of it, as `horizon`: the start of the oldest transaction that is open, and now when there is none. What has written nothing
 * and runs no statement does not count: whatever it writes later carries a later time, and our publishes are single statements.
 * @param maxAge for how long a transaction of ours is waited for, an interval of PostgreSQL's
 */
export const horizonWithin = (maxAge: string): string => `
  select least(now(), min(greatest(xact_start,
    now() - case when application_name = '${APPLICATION_NAME}' then interval '${maxAge}' else interval '${MAX_FOREIGN_AGE}' end
  ))) as horizon
  from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid() and xact_start is not null
    and not (state like 'idle in transaction%' and backend_xid is null)`;

export interface OldTransaction {
  readonly pid: number;
  readonly application: string;
  readonly state: string;
  readonly openForMs: number;
}

/** Transactions that have been open for so long, oldest first: forgotten ones, or a backup. */
export async function listOldTransactions(pool: Pool, minAgeMs: number): Promise<OldTransaction[]> {
  const { rows } = await pool.query<OldTransaction>({
    name: 'list-old-transactions',
    text: oldTransactions,
    values: [minAgeMs],
  });
  return rows;
}

const oldTransactions = `
select pid, application_name as application, coalesce(state, '') as state,
  (extract(epoch from now() - xact_start) * 1000)::float8 as "openForMs"
from pg_stat_activity
where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
  and xact_start < now() - $1::float8 * interval '1 millisecond'
order by xact_start limit 10`;
