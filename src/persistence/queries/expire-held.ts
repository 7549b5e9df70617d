// The statements that end what is held for too long, or too much of it.
import type { Pool } from 'pg';
import { endCancelled, heldLimitReason, isHeld, isWaiting, retentionReason } from '../delivery-state.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { lockHeads } from './ordering-heads.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';

/** Deliveries of one statement: some 30 ms. */
export const MAX_EXPIRED_AT_ONCE = 1000;

/** Cancels one batch of held deliveries with ids below `belowId`, oldest first. Less than a full batch means that no more is left. */
export async function expireHeld(pool: Pool, belowId: string): Promise<DeliveryRow[]> {
  const { rows } = await pool.query<DeliveryRow>({
    name: 'expire-held',
    text: expire,
    values: [belowId, MAX_EXPIRED_AT_ONCE],
  });
  return rows;
}

/** The same of one webhook, up to and with `lastId`, because it keeps too many. What waits behind them for its turn ends as well. */
export async function trimHeld(pool: Pool, webhookId: string, lastId: string): Promise<DeliveryRow[]> {
  const { rows } = await pool.query<DeliveryRow>({
    name: 'trim-held',
    text: trim,
    values: [lastId, MAX_EXPIRED_AT_ONCE, webhookId],
  });
  return rows;
}

// Along the index of what is held. A held delivery belongs to no release that is to count it.
const cancelKept = (which: string, isKept: string, reason: string): string => `
with heads as materialized (
  ${lockHeads(`(select d.webhook_id, d.ordering_key from deliveries d where ${which} and ${isKept} order by d.id limit $2)`)}
), picked as materialized (
  select d.id, ${wasOf('d')} as was from deliveries d
  where (select count(*) from heads) >= 0 and ${which} and ${isKept}
  order by d.id limit $2 for update of d skip locked
), d as (
  update deliveries set ${endCancelled(reason)}
  where id = any (array(select id from picked))
  returning *
), noted as (
  ${noteChanges('d', 'picked.was', `from picked join d on d.id = picked.id where d.id < ${closingBelow}`)}
)
select ${deliveryColumns} from d`;

// In the partitions that are as old.
const expire = cancelKept('d.id < $1', isHeld, retentionReason);
// What waits has an index without an order of ids, so it is looked for once a batch, and not sorted.
const trim = cancelKept(
  `d.id = any (array(
    (select d.id from deliveries d where d.webhook_id = $3 and d.id <= $1 and ${isHeld} order by d.id limit $2)
    union all
    (select d.id from deliveries d where d.webhook_id = $3 and d.id <= $1 and ${isWaiting} limit $2)
    limit $2))`,
  `(${isHeld} or ${isWaiting})`,
  heldLimitReason,
);
