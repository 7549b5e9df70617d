// How far down the delivery log one page looks. A filter that hardly anything passes would otherwise read the log to its end.
import type { Pool } from 'pg';
import { type DeliveryFilter, Parameters, rangeOf, webhooksOf, where } from './delivery-filter.ts';
import { isScheduled } from '../delivery-state.ts';

/**
 * Where a look at `max` index entries ends, from the top of what the filter's range holds: the lowest id looked at. Null: the look
 * reaches the end, or what the filter names is found by an index that holds hardly anything else.
 *
 * The look is shared out evenly among the webhooks, and ends where the first of them has used up its share.
 */
export async function lookDown(pool: Pool, filter: DeliveryFilter, max: number): Promise<string | null> {
  const { status, eventType, eventId } = filter;
  // Everything in the range passes, or the range is that of one event.
  if (eventId !== null || (status === null && eventType === null)) return null;
  let looked = 'true';
  if (status !== null && status !== 'delivered') {
    if (await isRare(pool, filter, indexedBy[status], max)) {
      if (status !== 'pending') return null;
      // Beside the scheduled ones, pending are some of those that were made after all that was adopted.
      looked = 'd.id >= (select adopted_below from adoption)';
    } else if (!isOfEveryone(filter) && (status === 'failed' || status === 'cancelled')) looked = indexedBy[status];
  }
  const values = new Parameters();
  const webhooks = webhooksOf(filter, values);
  const conditions = [looked, ...rangeOf(filter, values)];
  const cap = `${values.add(max)}::bigint`;
  const text =
    webhooks === null
      ? `select d.id from deliveries d ${where(conditions)} order by d.id desc offset ${cap} limit 1`
      : `with w as materialized (select w.id from webhook_endpoints w ${where(webhooks)}),
           share as materialized (select greatest(1, ${cap} / greatest(1, count(*))) as entries from w)
         select max(d.id) as id from w cross join lateral (
           select d.id from deliveries d ${where(['d.webhook_id = w.id', ...conditions])}
           order by d.id desc offset (select entries from share) limit 1
         ) d`;
  const result = await pool.query<{ id: string | null }>(text, values.all);
  return result.rows[0]?.id ?? null;
}

/** What the indexes of some rows alone hold. */
const indexedBy = {
  pending: isScheduled,
  retrying: isScheduled,
  failed: 'd.failed_at is not null',
  cancelled: 'd.cancelled_at is not null',
} as const;

/** Whether an index holds so little of these webhooks that reading and sorting all of it is cheap. */
async function isRare(pool: Pool, filter: DeliveryFilter, indexed: string, max: number): Promise<boolean> {
  const values = new Parameters();
  const webhooks = webhooksOf(filter, values);
  const conditions = [indexed, ...rangeOf(filter, values)];
  const cap = values.add(max);
  const rows = (ofWebhook: readonly string[]): string =>
    `select 1 from deliveries d ${where([...ofWebhook, ...conditions])} limit ${cap}`;
  const found =
    webhooks === null
      ? rows([])
      : `select 1 from webhook_endpoints w cross join lateral (${rows(['d.webhook_id = w.id'])}) d ${where(webhooks)} limit ${cap}`;
  const result = await pool.query<{ n: number }>(`select count(*)::integer as n from (${found}) c`, values.all);
  return (result.rows[0]?.n ?? 0) < max;
}

function isOfEveryone({ userId, webhookId }: DeliveryFilter): boolean {
  return userId === null && webhookId === null;
}
