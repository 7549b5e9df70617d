// The statement that ends older deliveries of the collapse keys of a publish, in its transaction.
import type { PoolClient } from 'pg';
import { textArray } from '../array-parameter.ts';
import { endCancelled, isUnfinished, supersededReason } from '../delivery-state.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { closingBelow, noteChanges, wasOf } from './late-changes.ts';
import type { Chained } from './ordering-heads.ts';
import { noteReleased } from './release-notes.ts';

/** The newest delivery of a collapse key, inserted in this transaction. */
export interface Newest extends Chained {
  readonly eventType: string;
  readonly collapseKey: string;
}

/**
 * To be called behind the insert, in a statement of its own: the insert holds the locks of the chains, so this snapshot has all that others have committed of
 * them. Only the delivery that was the newest before can be unfinished, since nothing older is sent again (`isNewest`). The trigger `deliveries_pass_turn`
 * lets the new one go, at once or when a request that may be under way has ended.
 */
export async function supersede(client: PoolClient, newest: readonly Newest[]): Promise<DeliveryRow[]> {
  const column = (of: (delivery: Newest) => string) => textArray(newest.map(of));
  const { rows } = await client.query<DeliveryRow>({
    name: 'supersede-deliveries',
    text: statement,
    values: [
      column(({ webhookId }) => webhookId),
      column(({ orderingKey }) => orderingKey),
      column(({ eventType }) => eventType),
      column(({ collapseKey }) => collapseKey),
      column(({ deliveryId }) => deliveryId),
    ],
  });
  return rows;
}

// `offset 0` keeps the look-up an index scan for each key.
const statement = `
with newest as materialized (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) as n(webhook_id, ordering_key, event_type, collapse_key, id)
), before as materialized (
  select c.newest_id as id from newest n cross join lateral (
    select newest_id from collapse_heads c
    where c.webhook_id = n.webhook_id and c.ordering_key = n.ordering_key and c.event_type = n.event_type and c.collapse_key = n.collapse_key
    offset 0
  ) c
), kept as (
  insert into collapse_heads (webhook_id, ordering_key, event_type, collapse_key, newest_id)
  select webhook_id, ordering_key, event_type, collapse_key, id from newest
  on conflict (webhook_id, ordering_key, event_type, collapse_key) do update set newest_id = excluded.newest_id, touched_at = now()
), picked as materialized (
  select d.id, ${wasOf('d')} as was from deliveries d
  where d.id = any (array(select id from before)) and ${isUnfinished} order by d.id for update of d
), d as (
  update deliveries set ${endCancelled(supersededReason)}
  where id = any (array(select id from picked))
  returning *
), noted as (
  ${noteChanges('d', 'picked.was', `from picked join d on d.id = picked.id where d.id < ${closingBelow}`)}
), counted as (
  ${noteReleased('d')}
)
select ${deliveryColumns} from d`;
