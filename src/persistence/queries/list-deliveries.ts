// The delivery log: pages of it, newest first, and how much matches.
import type { Pool, PoolClient } from 'pg';
import { conditionsOf, type DeliveryFilter, Parameters, partsOf, webhooksOf, where } from './delivery-filter.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';

export interface DeliveryWindow {
  readonly limit: number;
  readonly offset: number;
  /** Only what is older than this id. */
  readonly before: string | null;
}

/** Ids first, from the index; only the rows of the page itself are fetched whole. */
export async function listDeliveries(pool: Pool, filter: DeliveryFilter, window: DeliveryWindow): Promise<DeliveryRow[]> {
  const values = new Parameters();
  const conditions = conditionsOf(filter, values);
  if (window.before !== null) conditions.push(`d.id < ${values.add(window.before)}`);
  const reach = values.add(window.limit + window.offset);
  const found = scan(filter, values, (narrower) => {
    return `select d.id from deliveries d ${where([...narrower, ...conditions])} order by d.id desc limit ${reach}`;
  });
  const page = `select d.id from (${found}) d order by d.id desc limit ${values.add(window.limit)} offset ${values.add(window.offset)}`;
  const text = `select ${deliveryColumns} from (${page}) page join deliveries d on d.id = page.id order by d.id desc`;
  const result = await pool.query<DeliveryRow>(text, values.all);
  return result.rows;
}

/** Some deliveries by their ids, newest first. */
export async function listThese(client: PoolClient, ids: readonly string[]): Promise<DeliveryRow[]> {
  const { rows } = await client.query<DeliveryRow>(
    `select ${deliveryColumns} from deliveries d where d.id = any ($1) order by d.id desc`,
    [ids],
  );
  return rows;
}

/** Counts no further than `max`. */
export async function countDeliveries(pool: Pool, filter: DeliveryFilter, max: number): Promise<number> {
  const values = new Parameters();
  const conditions = conditionsOf(filter, values);
  const cap = values.add(max);
  // With nothing to narrow it down no index but the primary key holds every row, and only an order makes the planner take it.
  const order = filter.userId === null && filter.webhookId === null && filter.status === null ? 'order by d.id desc' : '';
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
  const { status } = filter;
  const rows = (ofWebhook: readonly string[]): string =>
    status === null
      ? rowsOf(ofWebhook)
      : partsOf[status].map((part) => `(${rowsOf([...ofWebhook, part])})`).join(' union all ');
  const webhooks = webhooksOf(filter, values);
  if (webhooks === null) return rows([]);
  return `select d.* from webhook_endpoints w cross join lateral (${rows(['d.webhook_id = w.id'])}) d ${where(webhooks)}`;
}
