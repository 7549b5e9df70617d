// How many of these deliveries have not ended.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { isUnfinished } from '../delivery-state.ts';

export async function countUnfinished(pool: Pool, deliveryIds: readonly string[]): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `select count(*)::integer as count from unnest($1::text[]) as i(id) join deliveries d on d.id = i.id
     where ${isUnfinished}`,
    [textArray(deliveryIds)],
  );
  return rows[0]?.count ?? 0;
}
