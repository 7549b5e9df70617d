// Cancels the unfinished deliveries of a webhook that was disabled or deleted.
import type { Pool } from 'pg';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { closedReason, endCancelled, isAwaited, isHeld, isLeasedOnInsert, isScheduled, isWaiting } from '../delivery-state.ts';
import { lockHeads } from './ordering-heads.ts';
import { noteReleased } from './release-notes.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';

/** Deliveries of one statement: some 30 ms on a quiet machine, and at most 16 MB of responses to return. */
export const MAX_CANCELLED_AT_ONCE = 1000;

export interface CancelledBatch {
  readonly count: number;
  /** Empty unless they were asked for. */
  readonly rows: readonly DeliveryRow[];
}

/**
 * Cancels one batch in a commit of its own, unless the webhook is active. Fewer than `max` are the last only where no other process
 * ends deliveries of the webhook meanwhile; none are the last in any case.
 *
 * Rows that another statement is writing are passed over. Waiting for them could deadlock with the recorder, which locks in the other
 * order. An outcome that is being recorded decides for itself; what stays pending is cancelled by the check before its attempt.
 */
export async function cancelDeliveries(pool: Pool, webhookId: string, max: number, withRows: boolean): Promise<CancelledBatch> {
  const { rows } = await pool.query<DeliveryRow & { readonly count: number }>({
    name: 'cancel-deliveries',
    text: statement,
    values: [webhookId, max, withRows],
  });
  const count = rows[0]?.count ?? 0;
  return { count, rows: withRows && count > 0 ? rows.map(({ count: _count, ...row }) => row) : [] };
}

// By arrays of ids, so that each step goes by the primary key of the partitions concerned; as a join the planner may read every delivery.
const statement = `
with found as materialized (
  select array(
    (select d.id from deliveries d where d.webhook_id = $1 and ${isScheduled} order by d.next_attempt_at limit $2)
    union all
    (select d.id from deliveries d where d.webhook_id = $1 and ${isLeasedOnInsert} order by d.id limit $2)
    union all
    (select d.id from deliveries d where d.webhook_id = $1 and ${isHeld} order by d.id limit $2)
    union all
    (select d.id from deliveries d where d.webhook_id = $1 and ${isWaiting} limit $2)
  ) as ids
), heads as materialized (
  ${lockHeads(`select d.webhook_id, d.ordering_key from deliveries d where d.id = any (array(select unnest(ids) from found)) and ${isAwaited}`)}
), locked as materialized (
  select array_agg(id) as ids, jsonb_object_agg(id, was) filter (where id < ${closingBelow}) as late from (
    select o.id, ${wasOf('o')} as was from deliveries o
    where (select count(*) from heads) >= 0 and o.id = any (array(select unnest(ids) from found)) and o.status in ('pending', 'retrying')
      and exists (select 1 from webhook_endpoints w where w.id = $1 and (not w.is_active or w.deleted_at is not null))
    order by o.id limit $2 for update of o skip locked
  ) o
), d as (
  update deliveries set ${endCancelled(closedReason)}
  where id = any (array(select unnest(ids) from locked))
  returning *
), noted as (
  ${noteChanges('d', '(locked.late -> d.id)', 'from locked cross join d where locked.late ? d.id')}
), counted as (
  ${noteReleased('d')}
)
select ${deliveryColumns}, c.count from (select count(*)::integer as count from d) c left join d on $3`;
