// The statement that ends what was held for longer than deliveries are kept.
import type { Pool } from 'pg';
import { endCancelled, isHeld, retentionReason } from '../delivery-state.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';

/** Deliveries of one statement: some 30 ms. */
export const MAX_EXPIRED_AT_ONCE = 1000;

/** Cancels one batch of held deliveries with ids below `belowId`, oldest first. Less than a full batch means that no more is left. */
export async function expireHeld(pool: Pool, belowId: string): Promise<DeliveryRow[]> {
  const { rows } = await pool.query<DeliveryRow>({
    name: 'expire-held',
    text: statement,
    values: [belowId, MAX_EXPIRED_AT_ONCE],
  });
  return rows;
}

// Along the index of what is held, in the partitions that are as old. A held delivery belongs to no release that is to count it.
const statement = `
with picked as materialized (
  select d.id, ${wasOf('d')} as was from deliveries d
  where d.id < $1 and ${isHeld}
  order by d.id limit $2 for update of d skip locked
), d as (
  update deliveries set ${endCancelled(retentionReason)}
  where id = any (array(select id from picked))
  returning *
), noted as (
  ${noteChanges('d', 'picked.was', `from picked join d on d.id = picked.id where d.id < ${closingBelow}`)}
)
select ${deliveryColumns} from d`;
