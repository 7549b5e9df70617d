// Partitions: a day each, made ahead of time. What is older than what is kept is dropped by retention.ts.
import { inTransaction } from '../persistence/transaction.ts';
import type { Pool, PoolClient } from 'pg';

/** Made ahead: a service that cannot maintain itself for a week still writes into partitions of their own. */
const DAYS_AHEAD = 8;
/** How long a change of partitions waits for its lock, in milliseconds, with every publish queueing behind it. */
const LOCK_TIMEOUT_MS = 300;
const PARENTS = ['events', 'deliveries', 'attempts'] as const;

/**
 * Makes the partitions of the coming days. Answers how many were missing. Rows in a default partition, from a clock that was far off, are moved to
 * the partition of their day; `onMoved` gets the server's sentence about it.
 *
 * Each in a transaction of its own: one with the locks of two tables would wait for statements that wait for it.
 */
export async function createPartitions(pool: Pool, nowMs: number, onMoved: (message: string) => void): Promise<number> {
  const firstDay = new Date(nowMs).toISOString().slice(0, 10);
  const missing = await pool.query<{ parent: string; day: string }>(
    `select parent, ($1::date + n)::text as day
     from generate_series(0, $2::integer - 1) n cross join unnest($3::text[]) parent
     where to_regclass(parent || '_' || to_char($1::date + n, 'YYYYMMDD')) is null order by day, parent desc`,
    [firstDay, DAYS_AHEAD, [...PARENTS]],
  );
  for (const { parent, day } of missing.rows) await createPartition(pool, parent, day, onMoved);
  return missing.rows.length;
}

function createPartition(pool: Pool, parent: string, day: string, onMoved: (message: string) => void): Promise<void> {
  return inShortTransaction(pool, async (client) => {
    const onNotice = (notice: { readonly message?: string | undefined }): void => onMoved(notice.message ?? '');
    client.on('notice', onNotice);
    try {
      await client.query('select ensure_partition($1, $2::date)', [parent, day]);
    } finally {
      client.off('notice', onNotice);
    }
  });
}

/** The days that have partitions, oldest first, as in their names. */
export async function partitionDays(pool: Pool): Promise<string[]> {
  const result = await pool.query<{ day: string }>(
    `select distinct substring(c.relname from '[0-9]{8}$') as day
     from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
     where p.relname = any ($1) and c.relname ~ '_[0-9]{8}$' order by day`,
    [[...PARENTS]],
  );
  return result.rows.map((row) => row.day);
}

/** The first moment of a day, in milliseconds since 1970. */
export function startOfDay(day: string): number {
  return Date.parse(`${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}T00:00:00Z`);
}

/** Statements that need a strong lock, given up soon when another session is in their way. */
export function inShortTransaction<Result>(pool: Pool, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  return inTransaction(pool, 'begin', async (client) => {
    await client.query(`set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`);
    return work(client);
  });
}
