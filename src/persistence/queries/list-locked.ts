// Which rows another session has locked right now. Run only after a statement has waited for a lock too long.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';

export interface LockedRows {
  readonly deliveryIds: ReadonlySet<string>;
  readonly webhookIds: ReadonlySet<string>;
}

/** The locks that it takes on the others end with its statement. */
export async function listLocked(
  pool: Pool,
  deliveryIds: readonly string[],
  webhookIds: readonly string[],
): Promise<LockedRows> {
  const { rows } = await pool.query<{ id: string; isWebhook: boolean }>({
    name: 'list-locked',
    text: statement,
    values: [textArray(deliveryIds), textArray(webhookIds)],
  });
  const ids = (isWebhook: boolean) => new Set(rows.filter((row) => row.isWebhook === isWebhook).map(({ id }) => id));
  return { deliveryIds: ids(false), webhookIds: ids(true) };
}

const statement = `
with free_delivery as materialized (
  select id from deliveries where id = any ($1::text[]) order by id for no key update skip locked
), free_webhook as materialized (
  select id from webhook_endpoints where id = any ($2::text[]) order by id for no key update skip locked
)
select id, false as "isWebhook" from deliveries where id = any ($1::text[]) and id not in (select id from free_delivery)
union all
select id, true from webhook_endpoints where id = any ($2::text[]) and id not in (select id from free_webhook)`;
