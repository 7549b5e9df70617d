// The delivery log: pages of it, and how much matches.
import type { Pool, PoolClient } from 'pg';
import {
  conditionsOf,
  type DeliveryFilter,
  type Order,
  Parameters,
  statusParts,
  webhooksOf,
  where,
} from './delivery-filter.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';

export interface DeliveryWindow {
  readonly limit: number;
  readonly offset: number;
  readonly order: Order;
}

/** Ids first, from the index; only the rows of the page itself are fetched whole. */
export async function listDeliveries(pool: Pool, filter: DeliveryFilter, window: DeliveryWindow): Promise<DeliveryRow[]> {
  const values = new Parameters();
  const { order } = window;
  const conditions = conditionsOf(filter, values);
  const reach = values.add(window.limit + window.offset);
  const found = scan(filter, values, (narrower) => {
    return `select d.id from deliveries d ${where([...narrower, ...conditions])} order by d.id ${order} limit ${reach}`;
  });
  const page = `select d.id from (${found}) d order by d.id ${order} limit ${values.add(window.limit)} offset ${values.add(window.offset)}`;
  const text = `select ${deliveryColumns} from (${page}) page join deliveries d on d.id = page.id order by d.id ${order}`;
  const result = await pool.query<DeliveryRow>(text, values.all);
  return result.rows;
}

/** Some deliveries by their ids. */
export async function listThese(client: PoolClient, ids: readonly string[], order: Order): Promise<DeliveryRow[]> {
  const { rows } = await client.query<DeliveryRow>(
    `select ${deliveryColumns} from deliveries d where d.id = any ($1) order by d.id ${order}`,
    [ids],
  );
  return rows;
}

/** Counts no further than `max`. */
export async function countDeliveries(pool: Pool, filter: DeliveryFilter, max: number): Promise<number> {
  const values = new Parameters();
  const conditions = conditionsOf(filter, values);
  const cap = values.add(max);
  // No index but the primary key holds every row, and only an order makes the planner take it.
  const isUnnarrowed = filter.userId === null && filter.webhookIds.length === 0 && filter.statuses.length === 0;
  const order = isUnnarrowed || filter.along !== 'webhooks' ? 'order by d.id desc' : '';
  const found = scan(
    filter,
    values,
    (narrower) => `select d.id from deliveries d ${where([...narrower, ...conditions])} ${order} limit ${cap}`,
  );
  const text = `select count(*)::integer as n from (select 1 from (${found}) d limit ${cap}) c`;
  const result = await pool.query<{ n: number }>(text, values.all);
  return result.rows[0]?.n ?? 0;
}

/**
 * One scan of (webhook_id, id) for each webhook the caller may see, each ended by its limit: a page costs what it shows, not
 * what the log holds. Without an owner, and for the few deliveries of one event, the primary key does it.
 */
function scan(filter: DeliveryFilter, values: Parameters, rowsOf: (conditions: readonly string[]) => string): string {
  const parts = statusParts(filter);
  const rows = (ofWebhook: readonly string[]): string => {
    const [first, ...more] = parts.map((part) => rowsOf(part === 'true' ? ofWebhook : [...ofWebhook, part]));
    return more.length === 0 ? (first ?? '') : [first, ...more].map((text) => `(${text})`).join(' union all ');
  };
  const webhooks = webhooksOf(filter, values);
  if (webhooks === null) return rows([]);
  return `select d.* from webhook_endpoints w cross join lateral (${rows(['d.webhook_id = w.id'])}) d ${where(webhooks)}`;
}
