// Cancels one delivery: its webhook was closed while the event was being published, or a caller wants it sent no more.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { lockHeads } from './ordering-heads.ts';
import { noteReleased } from './release-notes.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import { callerReason, closedReason, endCancelled, isAwaited, isUnfinished } from '../delivery-state.ts';

/** Of a closed webhook. Returns it as it stands now; undefined when it had ended before. */
export async function cancelDelivery(pool: Pool, deliveryId: string): Promise<DeliveryRow | undefined> {
  const { rows } = await pool.query<DeliveryRow>({ name: 'cancel-delivery', text: ofClosedWebhook, values: [deliveryId] });
  return rows[0];
}

/** The same by a call of its owner's. */
export async function cancelByCaller(transaction: EntityManager, deliveryId: string): Promise<DeliveryRow | undefined> {
  const [row] = await transaction.execute<DeliveryRow[]>(byCaller, [deliveryId, deliveryId, deliveryId]);
  return row;
}

/** @param id how the driver writes the parameter, which stands three times */
const statementOf = (id: string, reason: string): string => `
with heads as materialized (
  ${lockHeads(`select d.webhook_id, d.ordering_key from deliveries d where d.id = ${id} and ${isAwaited}`)}
), present as materialized (
  select d.id, ${wasOf('d')} as was from deliveries d where (select count(*) from heads) >= 0 and d.id = ${id} and ${isUnfinished} for update
), d as (
  update deliveries t set ${endCancelled(reason)}
  from present where t.id = ${id} and t.id = present.id
  returning t.*
), noted as (
  ${noteChanges('d', 'present.was', `from d cross join present where d.id < ${closingBelow}`)}
), counted as (
  ${noteReleased('d')}
)
select ${deliveryColumns} from d`;

const ofClosedWebhook = statementOf('$1', closedReason);
const byCaller = statementOf('?', callerReason);
