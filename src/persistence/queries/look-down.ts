// How far through the delivery log one page looks. A filter that hardly anything passes would otherwise read the log to its end.
import type { Pool } from 'pg';
import type { DeliveryStatus } from '../../domain/delivery.ts';
import {
  type Along,
  type DeliveryFilter,
  errorOf,
  type Order,
  ownersOf,
  Parameters,
  rangeOf,
  upTo,
  webhooksOf,
  where,
} from './delivery-filter.ts';
import { isHeld, isScheduled, isWaiting } from '../delivery-state.ts';

/** Of so many webhooks a page looks at some entries each, in every partition; of more, it looks at everyone's rows by time. */
const MAX_WALKED_WEBHOOKS = 100;

/** How much a page looks at. */
export interface Reach {
  /** Index entries, where they alone say what passes. */
  readonly maxEntries: number;
  /** Rows, where they must be read: each is somewhere else. */
  readonly maxRows: number;
}

/** Which index leads a list to its rows. Only `http_status` and `error_code` are asked about; all else goes by webhook. */
export async function indexFor(pool: Pool, filter: DeliveryFilter): Promise<Along> {
  if (filter.eventId !== null || (filter.httpStatus === null && filter.errorCode === null)) return 'webhooks';
  const values = new Parameters();
  const webhooks = webhooksOf({ ...filter, along: 'webhooks' }, values);
  // While the leader builds the index partition by partition, it leads to a part of the rows only.
  const { rows } = await pool.query<{ isBuilt: boolean; webhooks: number }>(
    `select (select indisvalid from pg_index where indexrelid = 'deliveries_with_error'::regclass) as "isBuilt",
       (select count(*)::integer from (select 1 from webhook_endpoints w ${where(webhooks ?? ['false'])} limit ${MAX_WALKED_WEBHOOKS + 1}) w) as webhooks`,
    values.all,
  );
  if (errorOf(filter) !== null && rows[0]?.isBuilt === true) return 'errors';
  return (rows[0]?.webhooks ?? 0) > MAX_WALKED_WEBHOOKS ? 'ids' : 'webhooks';
}

/**
 * Where a look at as much as `reach` allows ends, from where a list in this order begins: the last id looked at. Null: the look reaches the
 * end, or what the filter names is found by an index that holds hardly anything else.
 *
 * The look is shared out evenly among the webhooks, and ends where the first of them has used up its share.
 */
export async function lookDown(
  pool: Pool,
  filter: DeliveryFilter,
  reach: Reach,
  order: Order = 'desc',
): Promise<string | null> {
  if (filter.along === 'errors') return lookAlongErrors(pool, filter, reach, order);
  const { statuses, eventType, eventId, httpStatus, errorCode } = filter;
  // Everything in the range passes, or the range is that of one event.
  if (eventId !== null || (statuses.length === 0 && eventType === null && httpStatus === null && errorCode === null))
    return null;
  const max = httpStatus === null && errorCode === null ? reach.maxEntries : reach.maxRows;
  let looked = 'true';
  const indexes = filter.along === 'ids' ? null : indexesOf(statuses);
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

/** The error and whose a delivery is stand in the index; for all else the caller's rows are read, and those are fewer. */
async function lookAlongErrors(pool: Pool, filter: DeliveryFilter, reach: Reach, order: Order): Promise<string | null> {
  const error = errorOf(filter) ?? '';
  const seen = await entryAt(pool, filter, reach.maxEntries, order, (values) => [`d.error_code = ${values.add(error)}`]);
  const { httpStatus, eventType, statuses } = filter;
  if (httpStatus === null && eventType === null && statuses.length === 0) return seen;
  const read = await entryAt(pool, upTo(filter, seen, order), reach.maxRows, order, (values) => [
    `d.error_code = ${values.add(error)}`,
    ...ownersOf(filter, values),
  ]);
  return read ?? seen;
}

/** The id of the entry behind so many in the filter's range; null: there are no more than that. */
async function entryAt(
  pool: Pool,
  filter: DeliveryFilter,
  offset: number,
  order: Order,
  conditions: (values: Parameters) => string[],
): Promise<string | null> {
  const values = new Parameters();
  const entries = where([...conditions(values), ...rangeOf(filter, values)]);
  const { rows } = await pool.query<{ id: string }>(
    `select d.id from deliveries d ${entries} order by d.id ${order} offset ${values.add(offset)} limit 1`,
    values.all,
  );
  return rows[0]?.id ?? null;
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
