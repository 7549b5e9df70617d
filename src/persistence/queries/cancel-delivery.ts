// Cancels one delivery whose webhook was closed while the event was being published.
import type { Pool } from 'pg';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { lockHeads } from './ordering-heads.ts';
import { noteReleased } from './release-notes.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import { closedReason, endCancelled, isUnfinished } from '../delivery-state.ts';

/** Returns it as it stands now; undefined when it had ended before. */
export async function cancelDelivery(pool: Pool, deliveryId: string): Promise<DeliveryRow | undefined> {
  const { rows } = await pool.query<DeliveryRow>({ name: 'cancel-delivery', text: statement, values: [deliveryId] });
  return rows[0];
}

const statement = `
with heads as materialized (
  ${lockHeads('select d.webhook_id, d.ordering_key from deliveries d where d.id = $1 and d.waits is false')}
), present as materialized (
  select d.id, ${wasOf('d')} as was from deliveries d where (select count(*) from heads) >= 0 and d.id = $1 and ${isUnfinished} for update
), d as (
  update deliveries t set ${endCancelled(closedReason)}
  from present where t.id = $1 and t.id = present.id
  returning t.*
), noted as (
  ${noteChanges('d', 'present.was', `from d cross join present where d.id < ${closingBelow}`)}
), counted as (
  ${noteReleased('d')}
)
select ${deliveryColumns} from d`;
