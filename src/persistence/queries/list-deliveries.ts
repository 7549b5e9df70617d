// The delivery log: pages of it, newest first, and how much matches.
import type { Pool } from 'pg';
import type { DeliveryStatus } from '../../domain/delivery.ts';
import { deliveryColumns, type DeliveryRow } from './delivery-row.ts';
import { isHeldFromBirth, isScheduled } from './held-from-birth.ts';

export interface DeliveryFilter {
  /** Null: everyone's. */
  readonly userId: string | null;
  readonly webhookId: string | null;
  readonly status: DeliveryStatus | null;
  readonly eventType: string | null;
  readonly eventId: string | null;
  /** The smallest id that matches; null for no bound. */
  readonly fromId: string | null;
  /** The first id that no longer matches; null for no bound. */
  readonly belowId: string | null;
}

export interface DeliveryWindow {
  readonly limit: number;
  readonly offset: number;
  /** Only what is older than this id. */
  readonly before: string | null;
}

/** Where the rows of a status are, in parts that share none: for the planner to see which index has those rows alone. */
const partsOf: Record<DeliveryStatus, readonly string[]> = {
  pending: [isScheduled, isHeldFromBirth],
  retrying: [isScheduled],
  delivered: ['true'],
  failed: ['d.failed_at is not null'],
  cancelled: ['d.cancelled_at is not null'],
};

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
  const { userId, webhookId, status } = filter;
  const rows = (ofWebhook: readonly string[]): string =>
    status === null
      ? rowsOf(ofWebhook)
      : partsOf[status].map((part) => `(${rowsOf([...ofWebhook, part])})`).join(' union all ');
  if (filter.eventId !== null || (userId === null && webhookId === null)) return rows([]);
  const webhooks: string[] = [];
  if (userId !== null) webhooks.push(`w.user_id = ${values.add(userId)}`);
  if (webhookId !== null) webhooks.push(`w.id = ${values.add(webhookId)}`);
  // Deleted ones too: their log stays readable.
  return `select d.* from webhook_endpoints w cross join lateral (${rows(['d.webhook_id = w.id'])}) d ${where(webhooks)}`;
}

function conditionsOf(filter: DeliveryFilter, values: Parameters): string[] {
  const conditions: string[] = [];
  if (filter.eventId !== null) {
    // Deliveries share the time of their event's id, so those of one event lie side by side in the primary key.
    const time = filter.eventId.slice('event_'.length, 'event_'.length + 10);
    conditions.push(`d.id >= ${values.add(`delivery_${time}`)}`, `d.id <= ${values.add(`delivery_${time}~`)}`);
    conditions.push(`d.event_id = ${values.add(filter.eventId)}`);
    if (filter.userId !== null) conditions.push(`d.user_id = ${values.add(filter.userId)}`);
    if (filter.webhookId !== null) conditions.push(`d.webhook_id = ${values.add(filter.webhookId)}`);
  }
  if (filter.status !== null) conditions.push(`d.status = '${filter.status}'`);
  if (filter.eventType !== null) conditions.push(`d.event_type = ${values.add(filter.eventType)}`);
  if (filter.fromId !== null) conditions.push(`d.id >= ${values.add(filter.fromId)}`);
  if (filter.belowId !== null) conditions.push(`d.id < ${values.add(filter.belowId)}`);
  return conditions;
}

function where(conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
}

class Parameters {
  readonly all: (string | number)[] = [];

  add(value: string | number): string {
    return `$${this.all.push(value)}`;
  }
}
