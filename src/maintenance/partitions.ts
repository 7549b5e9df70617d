// Partitions: a day each, made ahead of time, dropped when they are older than what is kept.
import type { Pool, QueryResultRow } from 'pg';
import { idFloor } from '../domain/ids.ts';

const DAY_MS = 86_400_000;
/** Made ahead: a service that cannot maintain itself for a week still writes into partitions of their own. */
const DAYS_AHEAD = 8;
/** How long a change of partitions waits for its lock, in milliseconds, with every publish queueing behind it. */
const LOCK_TIMEOUT_MS = 300;
/** In the order they are dropped: a delivery must not outlive its event. */
const PARENTS = ['attempts', 'deliveries', 'events'] as const;

/** Makes the partitions of the coming days. Answers how many were missing. */
export async function createPartitions(pool: Pool, nowMs: number): Promise<number> {
  const rows = await change<{ made: number }>(pool, 'select ensure_partitions($1::date, $2) as made', [
    new Date(nowMs).toISOString().slice(0, 10),
    DAYS_AHEAD,
  ]);
  return rows[0]?.made ?? 0;
}

/**
 * Drops the partitions of days that are past retention: metadata only, however many rows. A day that still holds a delivery
 * that is not at its end is kept until it does.
 */
export async function dropOldPartitions(pool: Pool, nowMs: number, retentionDays: number): Promise<string[]> {
  const oldestDay = new Date(nowMs - retentionDays * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
  const dropped: string[] = [];
  for (const day of await partitionDays(pool)) {
    if (day >= oldestDay || (await hasUnfinished(pool, day))) continue;
    for (const parent of PARENTS) {
      // Dropping takes milliseconds, but waits for whoever reads the parent, and everybody then waits for it: the next round tries again.
      await change(pool, `drop table if exists ${parent}_${day}`);
      dropped.push(`${parent}_${day}`);
    }
  }
  return dropped;
}

async function partitionDays(pool: Pool): Promise<string[]> {
  const result = await pool.query<{ day: string }>(
    `select distinct substring(c.relname from '[0-9]{8}$') as day
     from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
     where p.relname = any ($1) and c.relname ~ '_[0-9]{8}$' order by day`,
    [[...PARENTS]],
  );
  return result.rows.map((row) => row.day);
}

async function hasUnfinished(pool: Pool, day: string): Promise<boolean> {
  const startMs = Date.parse(`${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}T00:00:00Z`);
  const result = await pool.query(
    `select 1 from deliveries where id >= $1 and id < $2 and next_attempt_at is not null limit 1`,
    [idFloor('delivery', startMs), idFloor('delivery', startMs + DAY_MS)],
  );
  return (result.rowCount ?? 0) > 0;
}

/** One statement that needs a strong lock, given up soon when somebody is in its way. */
async function change<Row extends QueryResultRow>(pool: Pool, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await client.query(`set local lock_timeout = '${LOCK_TIMEOUT_MS}ms'`);
    const { rows } = await client.query<Row>(text, values);
    await client.query('commit');
    client.release();
    return rows;
  } catch (error) {
    client.release(true);
    throw error;
  }
}
