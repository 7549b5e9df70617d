// How far the database's clock and this machine's are apart: what is deleted by age is deleted only while they agree.
import type { Pool } from 'pg';

/** Database and process may differ by so much, in milliseconds. Beyond it one of them is wrong: nothing is deleted until they agree. */
const MAX_DIFFERENCE_MS = 60_000;

export interface ClockReading {
  /** The database's, in milliseconds since 1970. */
  readonly databaseMs: number;
  /** How far it is ahead of this machine's. */
  readonly differenceMs: number;
  readonly agree: boolean;
}

/** Reads the database's clock anew: what a process remembers of it may be older than a step of it. */
export async function readClocks(pool: Pool, processNowMs: () => number = Date.now): Promise<ClockReading> {
  const { rows } = await pool.query<{ ms: number }>('select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms');
  const databaseMs = rows[0]?.ms ?? Number.NaN;
  const differenceMs = Math.round(databaseMs - processNowMs());
  return { databaseMs, differenceMs, agree: Math.abs(differenceMs) <= MAX_DIFFERENCE_MS };
}
