// Cancels what is still to be tried of a webhook that was disabled or deleted by a caller.
import type { EntityManager } from '@mikro-orm/postgresql';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';

/** So many are told to watchers at once; who wants to see more of a cancelled backlog reads the list. */
const MAX_RETURNED = 10_000;

/**
 * Runs in the transaction of the change, which holds the webhook's row. An attempt under way keeps its lease, and its outcome
 * still counts if the receiver takes it.
 */
export function cancelDeliveries(transaction: EntityManager, webhookId: string): Promise<DeliveryRow[]> {
  return transaction.execute<DeliveryRow[]>(statement, [webhookId, MAX_RETURNED]);
}

const statement = `
with d as (
  update deliveries set status = 'cancelled', next_attempt_at = null, updated_at = clock_timestamp()
  where webhook_id = ? and status in ('pending', 'retrying')
  returning *
)
select ${deliveryColumns} from d limit ?`;
