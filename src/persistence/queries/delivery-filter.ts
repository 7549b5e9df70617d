// What narrows the delivery log, as conditions on deliveries `d` and webhooks `w`.
import { type AttemptError, type DeliveryStatus, errorOfStatus } from '../../domain/delivery.ts';
import { isHeld, isLeasedOnInsert, isScheduled, isWaiting } from '../delivery-state.ts';

export interface DeliveryFilter {
  /** Null: everyone's. */
  readonly userId: string | null;
  /** Any of these; none: all. */
  readonly webhookIds: readonly string[];
  /** Any of these; none: all. */
  readonly statuses: readonly DeliveryStatus[];
  readonly eventType: string | null;
  readonly eventId: string | null;
  /** Of the last attempt. */
  readonly httpStatus: number | null;
  readonly errorCode: AttemptError | null;
  /** The smallest id that matches; null for no bound. */
  readonly fromId: string | null;
  /** The first id that no longer matches; null for no bound. */
  readonly belowId: string | null;
  readonly along: Along;
}

/**
 * Which index leads to the rows: that of each webhook by itself, the primary key of everyone's deliveries, or the index of those with an
 * error. Each has ids in order.
 */
export type Along = 'webhooks' | 'ids' | 'errors';

/** Of ids, which are times: newest first is `desc`. */
export type Order = 'asc' | 'desc';

/** Where the rows of a status are, in parts that share none: for the planner to see which index has those rows alone. */
const partsOf: Record<DeliveryStatus, readonly string[]> = {
  pending: [isScheduled, isLeasedOnInsert, isHeld, isWaiting],
  retrying: [isScheduled],
  delivered: ['true'],
  failed: ['d.failed_at is not null'],
  cancelled: ['d.cancelled_at is not null'],
};

/** Conditions that share no row and together hold those of the filter's statuses; one that is always true when it names none. */
export function statusParts({ statuses, along }: DeliveryFilter): readonly string[] {
  if (statuses.length === 0) return ['true'];
  if (along === 'errors') return [hasStatus(statuses)];
  // No index holds delivered ones alone: one scan finds the others on its way.
  if (statuses.includes('delivered')) return [hasStatus(statuses)];
  return [...new Set(statuses)].flatMap((status) => partsOf[status].map((part) => `${part} and ${hasStatus([status])}`));
}

/** Which webhooks `w` are scanned; null: none by name. Deleted ones too: their log stays readable. */
export function webhooksOf(filter: DeliveryFilter, values: Parameters): string[] | null {
  if (!isByWebhook(filter)) return null;
  const { userId, webhookIds } = filter;
  const webhooks: string[] = [];
  if (userId !== null) webhooks.push(`w.user_id = ${values.add(userId)}`);
  if (webhookIds.length > 0) webhooks.push(isOneOf('w.id', webhookIds, values));
  return webhooks;
}

function isByWebhook({ userId, webhookIds, eventId, along }: DeliveryFilter): boolean {
  return along === 'webhooks' && eventId === null && (userId !== null || webhookIds.length > 0);
}

/** All but the statuses, which `statusParts` has. */
export function conditionsOf(filter: DeliveryFilter, values: Parameters): string[] {
  const conditions: string[] = [];
  if (filter.eventId !== null) {
    // Deliveries share the time of their event's id, so those of one event lie side by side in the primary key.
    const time = filter.eventId.slice('event_'.length, 'event_'.length + 10);
    conditions.push(`d.id >= ${values.add(`delivery_${time}`)}`, `d.id <= ${values.add(`delivery_${time}~`)}`);
    conditions.push(`d.event_id = ${values.add(filter.eventId)}`);
  }
  if (!isByWebhook(filter)) conditions.push(...ownersOf(filter, values));
  return [...conditions, ...contentOf(filter, values), ...rangeOf(filter, values)];
}

/** Whose deliveries `d` are, by their own columns. */
export function ownersOf({ userId, webhookIds }: DeliveryFilter, values: Parameters): string[] {
  const conditions: string[] = [];
  if (userId !== null) conditions.push(`d.user_id = ${values.add(userId)}`);
  if (webhookIds.length > 0) conditions.push(isOneOf('d.webhook_id', webhookIds, values));
  return conditions;
}

/** The error that all rows of the filter have; null: they may have any, or none. */
export function errorOf({ errorCode, httpStatus }: DeliveryFilter): AttemptError | null {
  return errorCode ?? (httpStatus === null ? null : errorOfStatus(httpStatus));
}

/** What of the rows themselves is asked for: their type, and how their last attempt ended. */
export function contentOf(filter: DeliveryFilter, values: Parameters): string[] {
  const { eventType, httpStatus } = filter;
  const error = errorOf(filter);
  const conditions: string[] = [];
  if (eventType !== null) conditions.push(`d.event_type = ${values.add(eventType)}`);
  if (httpStatus !== null) conditions.push(`d.http_status = ${values.add(httpStatus)}::integer`);
  if (error !== null) conditions.push(`d.error_code = ${values.add(error)}`);
  return conditions;
}

/** The range of ids alone. */
export function rangeOf(filter: Range, values: Parameters, column = 'd.id'): string[] {
  const conditions: string[] = [];
  if (filter.fromId !== null) conditions.push(`${column} >= ${values.add(filter.fromId)}`);
  if (filter.belowId !== null) conditions.push(`${column} < ${values.add(filter.belowId)}`);
  return conditions;
}

export function hasStatus(statuses: readonly DeliveryStatus[]): string {
  const [first, ...more] = statuses;
  return more.length === 0 ? `d.status = '${first}'` : `d.status in (${statuses.map((status) => `'${status}'`).join(', ')})`;
}

export function isOneOf(column: string, ids: readonly string[], values: Parameters): string {
  const [first = '', ...more] = ids;
  return more.length === 0 ? `${column} = ${values.add(first)}` : `${column} = any (${values.add([...ids])}::text[])`;
}

type Range = Pick<DeliveryFilter, 'fromId' | 'belowId'>;

/** The part of the filter's range that a list in this order has up to an id, with it; null: all. */
export function upTo<Filter extends Range>(filter: Filter, id: string | null, order: Order): Filter {
  if (id === null) return filter;
  return order === 'desc' ? { ...filter, fromId: id } : { ...filter, belowId: justAfter(id) };
}

/** The part of the filter's range that a list in this order has behind an id. */
export function behind<Filter extends Range>(filter: Filter, id: string, order: Order): Filter {
  if (order === 'desc') return { ...filter, belowId: filter.belowId !== null && filter.belowId < id ? filter.belowId : id };
  const from = justAfter(id);
  return { ...filter, fromId: filter.fromId !== null && filter.fromId > from ? filter.fromId : from };
}

/** Greater than the id and smaller than every greater id: no id holds this character. */
function justAfter(id: string): string {
  return `${id}~`;
}

export function where(conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
}

/** The parameters of a statement that is put together. */
export class Parameters {
  readonly all: (string | number | string[])[] = [];

  add(value: string | number | string[]): string {
    return `$${this.all.push(value)}`;
  }
}
