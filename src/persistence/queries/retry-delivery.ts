// Makes a delivery due now, by hand.
import type { EntityManager } from '@mikro-orm/postgresql';
import { isHeld, isLeased, isUnfinished, isWaiting } from '../delivery-state.ts';
import { dueNow, isNewest, lockHeads } from './ordering-heads.ts';
import { keepAttempt } from './keep-attempt.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';

/**
 * Makes the delivery due and returns how it stands; undefined when its `deliver_before` has passed, also while the transaction ran, or when a newer event with its collapse key was published. One with an attempt under way is tried by hand after it, unless that attempt delivers
 * (see record-outcomes.ts). One that waits for its turn goes on waiting. One that is held for its paused webhook stays held, and is tried by hand once it is released. One whose
 * predecessor was cancelled under way is due when that request has ended. Automatic retries already used stay used.
 */
export async function retryDelivery(transaction: EntityManager, deliveryId: string): Promise<DeliveryRow | undefined> {
  const [row] = await transaction.execute<DeliveryRow[]>(statement, [deliveryId, deliveryId, deliveryId]);
  return row;
}

const statement = `
with heads as materialized (
  ${lockHeads('select d.webhook_id, d.ordering_key from deliveries d where d.id = ? and d.collapse_key is not null')}
), present as materialized (
  select *, coalesce(${isLeased}, false) and ${isUnfinished} as is_leased, ${isHeld} as is_held, coalesce(${isWaiting}, false) as is_waiting,
    ${wasOf('d')} as was
  from deliveries d
  where (select count(*) from heads) >= 0 and id = ? and (d.deliver_before is null or d.deliver_before > clock_timestamp()) and ${isNewest('d')} for update
), kept as (
  ${keepAttempt('present')}
), d as (
  update deliveries t set
    status = case when t.attempt_count = 0 or present.is_held or present.is_waiting then 'pending' else 'retrying' end,
    next_trigger = 'manual',
    next_attempt_at = case when present.is_leased or present.is_held or present.is_waiting then t.next_attempt_at else ${dueNow('t')} end,
    held_at = case when present.is_held then t.held_at end,
    release_no = case when present.status in ('pending', 'retrying') then t.release_no end,
    failed_at = null,
    cancelled_at = null,
    changed_at = case when present.is_leased then t.changed_at else clock_timestamp() end
  from present where t.id = ?
  returning t.*
), noted as (
  ${noteChanges('d', 'present.was', `from d cross join present where d.id < ${closingBelow}`)}
)
select ${deliveryColumns} from d`;
