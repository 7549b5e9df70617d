// The horizon: the moment before which every commit is visible to statements that start from now on.

/**
 * A select of it, as `horizon`: the start of the oldest transaction that is open, and now when there is none. What has been open for longer
 * than `maxAge` (an interval of PostgreSQL's) is no writer of ours, and is not waited for.
 */
export const horizonWithin = (maxAge: string): string => `
  select greatest(least(now(), min(xact_start)), now() - interval '${maxAge}') as horizon
  from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()`;
