// Indexes that come to a table partition by partition, because it was too large for the migration to build them at once.
import type { Pool, QueryConfig } from 'pg';
import type { Logger } from '../telemetry/log.ts';
import { inShortTransaction } from './partitions.ts';

/** Indexes of the whole table. PostgreSQL gives them to each new partition by itself, also while the old ones lack theirs. */
const INDEXES = [
  {
    index: 'deliveries_next_attempt',
    ending: 'next_attempt_at_idx',
    rows: '(next_attempt_at) where next_attempt_at is not null',
  },
  { index: 'deliveries_held', ending: 'held_idx', rows: '(webhook_id, id) where held_at is not null' },
  { index: 'deliveries_waiting', ending: 'waiting_idx', rows: '(webhook_id, ordering_key, sequence) where waits' },
  { index: 'deliveries_deadline', ending: 'deadline_idx', rows: '(deliver_before) where deliver_before is not null' },
  {
    index: 'deliveries_with_error',
    ending: 'with_error_idx',
    rows: '(error_code, id, webhook_id, user_id) where error_code is not null',
  },
] as const;
/** A build reads its partition twice and waits for every older transaction. One that takes longer is begun anew in a later round, in milliseconds. */
const BUILD_TIMEOUT_MS = 600_000;

export interface LateIndexOptions {
  readonly pool: Pool;
  readonly isLeading: () => boolean;
  readonly log: Logger;
  /** A build is not waited for when this process stops. The server goes on with it, and the next leader attaches what came of it. */
  readonly signal: AbortSignal;
}

/**
 * Builds one index of the newest partition that lacks it, while the service writes. One a round: the rounds between give transactions
 * that waited their turn. Answers how many it built.
 */
export async function buildLateIndex({ pool, isLeading, log, signal }: LateIndexOptions): Promise<number> {
  for (const { index, ending, rows } of INDEXES) {
    const partition = await partitionWithout(pool, index);
    if (!isLeading()) return 0;
    if (partition === null) continue;
    log.info({ partition, index }, 'an index is built for a partition');
    const name = `${partition}_${ending}`;
    await build(pool, { name, on: `${partition} ${rows}` }, signal);
    await inShortTransaction(pool, (client) => client.query(`alter index ${index} attach partition ${name}`));
    return 1;
  }
  return 0;
}

async function partitionWithout(pool: Pool, index: string): Promise<string | null> {
  const { rows } = await pool.query<{ partition: string }>(
    `select p.relname as partition
     from pg_inherits t join pg_class p on p.oid = t.inhrelid
     where t.inhparent = 'deliveries'::regclass and not exists (
       select from pg_inherits a join pg_index i on i.indexrelid = a.inhrelid
       where a.inhparent = $1::regclass and i.indrelid = t.inhrelid)
     order by p.relname desc limit 1`,
    [index],
  );
  return rows[0]?.partition ?? null;
}

async function build(
  pool: Pool,
  { name, on }: { readonly name: string; readonly on: string },
  signal: AbortSignal,
): Promise<void> {
  const client = await pool.connect();
  const cut = (): void => void client.end();
  const run = (text: string): Promise<unknown> => {
    const patient: QueryConfig & { query_timeout: number } = { text, query_timeout: BUILD_TIMEOUT_MS };
    return client.query(patient);
  };
  signal.addEventListener('abort', cut);
  try {
    await client.query(`set statement_timeout = ${BUILD_TIMEOUT_MS}`);
    const { rows } = await client.query<{ isWhole: boolean }>(
      `select indisvalid as "isWhole" from pg_index where indexrelid = to_regclass($1)`,
      [name],
    );
    if (rows[0]?.isWhole === true) return;
    // What a build leaves that was broken off: writes keep it, and nothing reads it.
    if (rows[0] !== undefined) await run(`drop index concurrently ${name}`);
    await run(`create index concurrently ${name} on ${on}`);
  } finally {
    signal.removeEventListener('abort', cut);
    // Not back into the pool, with a timeout that no other statement is to have.
    client.release(true);
  }
}
