// Several statements that see the same moment.
import type { Pool, PoolClient } from 'pg';

/** Reads only. A client whose reading failed is not given back: its transaction may still be open. */
export async function inSnapshot<Result>(pool: Pool, read: (client: PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  try {
    await client.query('begin isolation level repeatable read read only');
    const result = await read(client);
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}
