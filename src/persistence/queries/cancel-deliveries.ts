// Cancels what is still to be tried of a webhook that was disabled or deleted by a caller.
import type { EntityManager } from '@mikro-orm/postgresql';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';

/** A statement cancels so many, so that none runs into its time limit: 100,000 take some 2 s. */
const MAX_BATCH = 20_000;
/** So many are told to watchers; who wants to see more of a cancelled backlog reads the list. */
const MAX_RETURNED = 10_000;

/**
 * Runs in the transaction of the change, which holds the webhook's row. An attempt under way keeps its lease, and its outcome
 * still counts if the receiver takes it.
 */
export async function cancelDeliveries(transaction: EntityManager, webhookId: string): Promise<DeliveryRow[]> {
  const cancelled: DeliveryRow[] = [];
  for (;;) {
    const rows = await transaction.execute<(DeliveryRow & { batch: number })[]>(statement, [
      webhookId,
      MAX_BATCH,
      MAX_RETURNED,
    ]);
    for (const { batch: _batch, ...row } of rows.slice(0, MAX_RETURNED - cancelled.length)) cancelled.push(row);
    if ((rows[0]?.batch ?? 0) < MAX_BATCH) return cancelled;
  }
}

const statement = `
with d as (
  update deliveries set status = 'cancelled', next_attempt_at = null, updated_at = clock_timestamp()
  where id in (
    select id from deliveries where webhook_id = ? and status in ('pending', 'retrying') order by id limit ? for update
  )
  returning *
)
select ${deliveryColumns}, (select count(*)::integer from d) as batch from d limit ?`;
