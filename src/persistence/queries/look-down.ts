// How far through the delivery log one page looks. A filter that hardly anything passes would otherwise read the log to its end.
import type { Pool } from 'pg';
import type { DeliveryStatus } from '../../domain/delivery.ts';
import { type DeliveryFilter, type Order, Parameters, rangeOf, webhooksOf, where } from './delivery-filter.ts';
import { isHeld, isScheduled, isWaiting } from '../delivery-state.ts';

/**
 * Where a look at `max` index entries ends, from where a list in this order begins: the last id looked at. Null: the look reaches the
 * end, or what the filter names is found by an index that holds hardly anything else.
 *
 * The look is shared out evenly among the webhooks, and ends where the first of them has used up its share.
 */
export async function lookDown(pool: Pool, filter: DeliveryFilter, max: number, order: Order = 'desc'): Promise<string | null> {
  const { statuses, eventType, eventId, httpStatus, errorCode } = filter;
  // Everything in the range passes, or the range is that of one event.
  if (eventId !== null || (statuses.length === 0 && eventType === null && httpStatus === null && errorCode === null))
    return null;
  let looked = 'true';
  const indexes = indexesOf(statuses);
  if (indexes !== null) {
    if (await isRare(pool, filter, indexes, max)) {
      if (!statuses.includes('pending')) return null;
      // Pending are also those of the deliveries above this id that were leased on insert.
      looked = 'd.id >= (select adopted_below from adoption)';
    } else if (!isOfEveryone(filter) && indexes.length === 1 && indexes[0] !== undefined && indexes[0] !== isScheduled) {
      [looked] = indexes;
    }
  }
  const values = new Parameters();
  const webhooks = webhooksOf(filter, values);
  const conditions = [looked, ...rangeOf(filter, values)];
  const cap = `${values.add(max)}::bigint`;
  const text =
    webhooks === null
      ? `select d.id from deliveries d ${where(conditions)} order by d.id ${order} offset ${cap} limit 1`
      : `with w as materialized (select w.id from webhook_endpoints w ${where(webhooks)}),
           share as materialized (select greatest(1, ${cap} / greatest(1, count(*))) as entries from w)
         select ${order === 'desc' ? 'max' : 'min'}(d.id) as id from w cross join lateral (
           select d.id from deliveries d ${where(['d.webhook_id = w.id', ...conditions])}
           order by d.id ${order} offset (select entries from share) limit 1
         ) d`;
  const result = await pool.query<{ id: string | null }>(text, values.all);
  return result.rows[0]?.id ?? null;
}

/** What the indexes of some rows alone hold. */
const indexedBy = {
  pending: [isScheduled, isHeld, isWaiting],
  retrying: [isScheduled],
  failed: ['d.failed_at is not null'],
  cancelled: ['d.cancelled_at is not null'],
} as const;

/** Which of them hold all rows of these statuses; null: no such index holds all. */
function indexesOf(statuses: readonly DeliveryStatus[]): string[] | null {
  if (statuses.length === 0) return null;
  const indexes = new Set<string>();
  for (const status of statuses) {
    if (status === 'delivered') return null;
    for (const index of indexedBy[status]) indexes.add(index);
  }
  return [...indexes];
}

/** Whether indexes hold so little of these webhooks that reading and sorting all of it is cheap. */
async function isRare(pool: Pool, filter: DeliveryFilter, indexes: readonly string[], max: number): Promise<boolean> {
  const values = new Parameters();
  const webhooks = webhooksOf(filter, values);
  const range = rangeOf(filter, values);
  const cap = values.add(max);
  const rows = (ofWebhook: readonly string[]): string =>
    indexes
      .map((indexed) => `(select 1 from deliveries d ${where([...ofWebhook, indexed, ...range])} limit ${cap})`)
      .join(' union all ');
  const found =
    webhooks === null
      ? `select 1 from (${rows([])}) d limit ${cap}`
      : `select 1 from webhook_endpoints w cross join lateral (${rows(['d.webhook_id = w.id'])}) d ${where(webhooks)} limit ${cap}`;
  const result = await pool.query<{ n: number }>(`select count(*)::integer as n from (${found}) c`, values.all);
  return (result.rows[0]?.n ?? 0) < max;
}

function isOfEveryone({ userId, webhookIds }: DeliveryFilter): boolean {
  return userId === null && webhookIds.length === 0;
}
