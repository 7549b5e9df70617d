// Makes a delivery due now, by hand.
import type { EntityManager } from '@mikro-orm/postgresql';
import { isHeld, isLeased, isUnfinished } from '../delivery-state.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';

/**
 * Makes the delivery due and returns how it stands. One with an attempt under way is tried by hand after it, unless that attempt delivers
 * (see record-outcomes.ts). One that is held for its paused webhook stays held, and is tried by hand once it is released. Automatic retries
 * already used stay used.
 *
 * A first try that succeeded lives in its delivery row alone, which the coming attempt overwrites: it gets its attempt row here.
 */
export async function retryDelivery(transaction: EntityManager, deliveryId: string): Promise<DeliveryRow | undefined> {
  const [row] = await transaction.execute<DeliveryRow[]>(statement, [deliveryId, deliveryId]);
  return row;
}

const statement = `
with present as materialized (
  select *, coalesce(${isLeased}, false) and ${isUnfinished} as is_leased, ${isHeld} as is_held,
    ${wasOf('d')} as was
  from deliveries d where id = ? for update
), kept as (
  insert into attempts
    (delivery_id, number, started_at, duration_ms, http_status, response, response_truncated, error_code, error_message, trigger,
      response_oddity)
  select id, attempt_count, attempted_at, coalesce(duration_ms, 0), http_status, response, response_truncated, error_code,
    error_message, coalesce(last_trigger, 'automatic'), response_oddity
  from present where attempt_count > 0 and attempted_at is not null
  on conflict (delivery_id, number) do nothing
), d as (
  update deliveries t set
    status = case when t.attempt_count = 0 or present.is_held then 'pending' else 'retrying' end,
    next_trigger = 'manual',
    next_attempt_at = case when present.is_leased or present.is_held then t.next_attempt_at else now() end,
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
