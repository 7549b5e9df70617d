// Several statements that are committed together, or see the same moment.
import type { Pool, PoolClient } from 'pg';

/**
 * Runs `work` between `begin` and a commit. A client whose work failed is not given back: its transaction may still be open, and closing the
 * connection ends it in any case.
 * @param begin the statement that begins the transaction, with its isolation level
 */
export async function inTransaction<Result>(
  pool: Pool,
  begin: string,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** Reads only, all of it at one moment. */
export function inSnapshot<Result>(pool: Pool, read: (client: PoolClient) => Promise<Result>): Promise<Result> {
  return inTransaction(pool, 'begin isolation level repeatable read read only', read);
}
