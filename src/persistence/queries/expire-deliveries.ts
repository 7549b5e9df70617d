// The statements that end deliveries whose `deliver_before` has come.
import type { Pool } from 'pg';
import { endCancelled, expiredReason, hasExpired, isAwaited, isUnfinished } from '../delivery-state.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { horizonWithin } from './horizon.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import { lockHeads } from './ordering-heads.ts';
import { noteReleased } from './release-notes.ts';

/** Deliveries of one statement: some 30 ms, and at most 16 MB of responses to return. */
export const MAX_ENDED_AT_ONCE = 1000;
/** PostgreSQL ends a publish after ten seconds, but its commit may wait for a replica. */
const MAX_TRANSACTION = '10 minutes';

/**
 * Ends one batch, the earliest deadlines first, from where the last call has come to. Less than a full batch means that no more is left now.
 *
 * An attempt that is under way is not broken off: should it succeed, its outcome delivers (record-outcomes.ts).
 */
export async function expireDeliveries(pool: Pool, max: number): Promise<DeliveryRow[]> {
  const { rows } = await pool.query<DeliveryRow>({ name: 'expire-deliveries', text: all, values: [max] });
  return rows;
}

/** Ends this one. Undefined when it had ended before, or its moment has not come by PostgreSQL's clock. */
export async function expireDelivery(pool: Pool, deliveryId: string): Promise<DeliveryRow | undefined> {
  const { rows } = await pool.query<DeliveryRow>({ name: 'expire-delivery', text: one, values: [deliveryId] });
  return rows[0];
}

const end = `heads as materialized (
  ${lockHeads(`select webhook_id, ordering_key from found d where ${isAwaited}`)}
), picked as materialized (
  select d.id, ${wasOf('d')} as was from deliveries d
  where (select count(*) from heads) >= 0 and d.id = any (array(select id from found)) and ${isUnfinished}
  order by d.id for update of d skip locked
), d as (
  update deliveries set ${endCancelled(expiredReason)}
  where id = any (array(select id from picked))
  returning *
), noted as (
  ${noteChanges('d', 'picked.was', `from picked join d on d.id = picked.id where d.id < ${closingBelow}`)}
), counted as (
  ${noteReleased('d')}
)`;

const found = 'd.id, d.deliver_before, d.webhook_id, d.ordering_key, d.waits, d.collapse_key';

const one = `
with found as materialized (
  select ${found} from deliveries d where d.id = $1 and ${isUnfinished} and ${hasExpired}
), ${end}
select ${deliveryColumns} from d`;

// A publish inserts as ended what has expired when it begins. So what a commit that is still open brings expires after its beginning, and the place stays
// before that: the horizon. A row that another session has locked is passed over, and the place stays before it as well. When the database's clock was set
// back, the place goes back with it. Of two processes that both lead for a moment, one finds no place, and nothing to do.
const all = `
with place as materialized (
  select least(reached, now()) as start from deadline_walk for update skip locked
), found as materialized (
  select ${found} from deliveries d
  where d.deliver_before >= (select start from place) and d.deliver_before <= now() and ${isUnfinished}
  order by d.deliver_before limit $1::integer
), ${end}, moved as (
  update deadline_walk set reached = greatest(start, least(
    horizon,
    (select min(deliver_before) from found where id not in (select id from picked)),
    case when (select count(*) from found) = $1::integer then (select max(deliver_before) from found) end
  ))
  from place cross join (${horizonWithin(MAX_TRANSACTION)}) h
)
select ${deliveryColumns} from d`;
