// Whether deliveries that were loaded are still to be sent, when a transaction may be about to end them.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { isUnfinished } from '../delivery-state.ts';

/**
 * Those of them that no open transaction is changing and that have not ended. A newer event ends an older delivery that was due without a wait only when no
 * request of it is under way, and goes by the row; so a request must not begin between that look at the row and the commit. The lock shows an open one, and is
 * not waited for.
 */
export async function confirmDeliveries(pool: Pool, deliveryIds: readonly string[]): Promise<Set<string>> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'confirm-deliveries',
    text: `select d.id from deliveries d where d.id = any ($1::text[]) and ${isUnfinished} for share of d skip locked`,
    values: [textArray(deliveryIds)],
  });
  return new Set(rows.map(({ id }) => id));
}
