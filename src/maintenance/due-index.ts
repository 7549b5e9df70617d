// The index of what is due, partition by partition, on a table that was too large for the migration to build it at once.
import type { Pool, QueryConfig } from 'pg';
import type { Logger } from '../telemetry/log.ts';
import { inShortTransaction } from './partitions.ts';

/** The index of the whole table. PostgreSQL gives it to each new partition by itself, also while the old ones lack theirs. */
const INDEX = 'deliveries_next_attempt';
/** A build reads its partition twice and waits for every older transaction. One that takes longer is begun anew in a later round, in milliseconds. */
const BUILD_TIMEOUT_MS = 600_000;

export interface DueIndexOptions {
  readonly pool: Pool;
  readonly isLeading: () => boolean;
  readonly log: Logger;
  /** A build is not waited for when this process stops. The server goes on with it, and the next leader attaches what came of it. */
  readonly signal: AbortSignal;
}

/**
 * Builds the index of the newest partition that lacks it, while the service writes. One a round: the rounds between give transactions
 * that waited their turn. Answers how many it built.
 */
export async function buildDueIndex({ pool, isLeading, log, signal }: DueIndexOptions): Promise<number> {
  const partition = await partitionWithout(pool);
  if (partition === null || !isLeading()) return 0;
  log.info({ partition }, 'the index of what is due is built for a partition');
  const name = `${partition}_next_attempt_at_idx`;
  await build(pool, partition, name, signal);
  await inShortTransaction(pool, (client) => client.query(`alter index ${INDEX} attach partition ${name}`));
  return 1;
}

async function partitionWithout(pool: Pool): Promise<string | null> {
  const { rows } = await pool.query<{ partition: string }>(
    `select p.relname as partition
     from pg_inherits t join pg_class p on p.oid = t.inhrelid
     where t.inhparent = 'deliveries'::regclass and not exists (
       select from pg_inherits a join pg_index i on i.indexrelid = a.inhrelid
       where a.inhparent = $1::regclass and i.indrelid = t.inhrelid)
     order by p.relname desc limit 1`,
    [INDEX],
  );
  return rows[0]?.partition ?? null;
}

async function build(pool: Pool, partition: string, name: string, signal: AbortSignal): Promise<void> {
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
    await run(`create index concurrently ${name} on ${partition} (next_attempt_at) where next_attempt_at is not null`);
  } finally {
    signal.removeEventListener('abort', cut);
    // Not back into the pool, with a timeout that no other statement is to have.
    client.release(true);
  }
}
