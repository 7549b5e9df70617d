// Which rows another session has locked right now. Run only after a statement has waited for a lock too long.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import type { Chain } from './ordering-heads.ts';

export interface LockedRows {
  readonly deliveryIds: ReadonlySet<string>;
  readonly webhookIds: ReadonlySet<string>;
  /** Of these chains, by `chainName`. */
  readonly chains: ReadonlySet<string>;
}

/** No id holds a space. */
export const chainName = ({ webhookId, orderingKey }: Chain): string => `${webhookId} ${orderingKey}`;

/** The locks that it takes on the others end with its statement. */
export async function listLocked(
  pool: Pool,
  deliveryIds: readonly string[],
  webhookIds: readonly string[],
  chains: readonly Chain[],
): Promise<LockedRows> {
  const { rows } = await pool.query<{ id: string; kind: 'delivery' | 'webhook' | 'chain' }>({
    name: 'list-locked',
    text: statement,
    values: [
      textArray(deliveryIds),
      textArray(webhookIds),
      textArray(chains.map(({ webhookId }) => webhookId)),
      textArray(chains.map(({ orderingKey }) => orderingKey)),
    ],
  });
  const ids = (kind: string) => new Set(rows.filter((row) => row.kind === kind).map(({ id }) => id));
  return { deliveryIds: ids('delivery'), webhookIds: ids('webhook'), chains: ids('chain') };
}

const statement = `
with free_delivery as materialized (
  select id from deliveries where id = any ($1::text[]) order by id for no key update skip locked
), free_webhook as materialized (
  select id from webhook_endpoints where id = any ($2::text[]) order by id for no key update skip locked
), chain as materialized (
  select distinct * from unnest($3::text[], $4::text[]) as c(webhook_id, ordering_key)
), free_chain as materialized (
  select h.webhook_id, h.ordering_key from chain c join ordering_heads h on h.webhook_id = c.webhook_id and h.ordering_key = c.ordering_key
  order by h.webhook_id, h.ordering_key for update of h skip locked
)
select id, 'delivery' as kind from deliveries where id = any ($1::text[]) and id not in (select id from free_delivery)
union all
select id, 'webhook' from webhook_endpoints where id = any ($2::text[]) and id not in (select id from free_webhook)
union all
select webhook_id || ' ' || ordering_key, 'chain' from chain c
where exists (select 1 from ordering_heads h where h.webhook_id = c.webhook_id and h.ordering_key = c.ordering_key)
  and (webhook_id, ordering_key) not in (select webhook_id, ordering_key from free_chain)`;
