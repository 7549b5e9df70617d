// Cancels what is still to be tried of a webhook that was disabled or deleted, by whomever.
import type { Pool } from 'pg';
import { toCancelled } from './cancel-delivery.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { isHeldFromBirth, isScheduled } from './held-from-birth.ts';

/** A statement cancels so many, so that none runs into its time limit or keeps others waiting: 100,000 take some 2 s. */
const MAX_BATCH = 20_000;
/** So many of a batch are told to watchers; who wants to see more of a cancelled backlog reads the list. */
const MAX_RETURNED = 1000;

/**
 * Cancels batch by batch, each in a commit of its own, until nothing is left or the webhook is active again. Rows that somebody is
 * writing are passed over: an outcome being recorded decides for itself, and whatever is still pending when its turn comes is
 * cancelled by the attempt's own check. Waiting for rows here would wait against the recorder, which locks in the other order.
 * Answers how many it cancelled.
 */
export async function cancelDeliveries(
  pool: Pool,
  webhookId: string,
  onCancelled: (rows: readonly DeliveryRow[]) => void,
): Promise<number> {
  let cancelled = 0;
  for (;;) {
    const { rows } = await pool.query<DeliveryRow & { batch: number }>({
      name: 'cancel-deliveries',
      text: statement,
      values: [webhookId, MAX_BATCH, MAX_RETURNED],
    });
    const batch = rows[0]?.batch ?? 0;
    if (batch > 0) onCancelled(rows.map(({ batch: _batch, ...row }) => row));
    cancelled += batch;
    if (batch < MAX_BATCH) return cancelled;
  }
}

const statement = `
with d as (
  update deliveries set ${toCancelled}
  where id in (
    select o.id from deliveries o
    where o.id in (
      (select d.id from deliveries d where d.webhook_id = $1 and ${isScheduled} order by d.next_attempt_at limit $2)
      union all
      (select d.id from deliveries d where d.webhook_id = $1 and ${isHeldFromBirth} order by d.id limit $2)
    )
      and exists (select 1 from webhook_endpoints w where w.id = $1 and (not w.is_active or w.deleted_at is not null))
    order by o.id limit $2 for update of o skip locked
  )
  returning *
)
select ${deliveryColumns}, (select count(*)::integer from d) as batch from d limit $3`;
