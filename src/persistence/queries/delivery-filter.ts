// What narrows the delivery log, as conditions on deliveries `d` and webhooks `w`.
import type { DeliveryStatus } from '../../domain/delivery.ts';
import { isHeld, isLeasedOnInsert, isScheduled } from '../delivery-state.ts';

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

/** Where the rows of a status are, in parts that share none: for the planner to see which index has those rows alone. */
export const partsOf: Record<DeliveryStatus, readonly string[]> = {
  pending: [isScheduled, isLeasedOnInsert, isHeld],
  retrying: [isScheduled],
  delivered: ['true'],
  failed: ['d.failed_at is not null'],
  cancelled: ['d.cancelled_at is not null'],
};

/** Which webhooks `w` are scanned; null: none by name. Deleted ones too: their log stays readable. */
export function webhooksOf({ userId, webhookId, eventId }: DeliveryFilter, values: Parameters): string[] | null {
  if (eventId !== null || (userId === null && webhookId === null)) return null;
  const webhooks: string[] = [];
  if (userId !== null) webhooks.push(`w.user_id = ${values.add(userId)}`);
  if (webhookId !== null) webhooks.push(`w.id = ${values.add(webhookId)}`);
  return webhooks;
}

export function conditionsOf(filter: DeliveryFilter, values: Parameters): string[] {
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
  return [...conditions, ...rangeOf(filter, values)];
}

/** The range of ids alone. */
export function rangeOf(filter: Pick<DeliveryFilter, 'fromId' | 'belowId'>, values: Parameters): string[] {
  const conditions: string[] = [];
  if (filter.fromId !== null) conditions.push(`d.id >= ${values.add(filter.fromId)}`);
  if (filter.belowId !== null) conditions.push(`d.id < ${values.add(filter.belowId)}`);
  return conditions;
}

export function where(conditions: readonly string[]): string {
  return conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
}

/** The parameters of a statement that is put together. */
export class Parameters {
  readonly all: (string | number)[] = [];

  add(value: string | number): string {
    return `$${this.all.push(value)}`;
  }
}
