// A delivery's row as the statements for callers read it: without the schedule's own columns, times in milliseconds.
import type { DeliveryStatus } from '../../domain/delivery.ts';
import { changedAt, isHeld, orderingKeyOf, sequenceOf } from '../delivery-state.ts';

export interface DeliveryRow {
  readonly id: string;
  readonly webhookId: string;
  readonly userId: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly status: DeliveryStatus;
  readonly attemptCount: number;
  readonly httpStatus: number | null;
  readonly response: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** Why it was cancelled; of a cancelled one alone. Null for one that an older version cancelled. */
  readonly cancelReason?: string | null;
  /** Of an event with one; else null. */
  readonly orderingKey?: string | null;
  readonly sequence?: number | null;
  /** Of an event with one; else null. */
  readonly collapseKey?: string | null;
  /** No attempt begins later; null: there is no such moment. */
  readonly deliverBeforeMs?: number | null;
  /** Since when it is held for a paused webhook; null: it is not. */
  readonly heldAtMs?: number | null;
  readonly nextAttemptAtMs: number | null;
  readonly deliveredAtMs: number | null;
  readonly failedAtMs: number | null;
  readonly createdAtMs: number;
  /** With microseconds in the fraction. */
  readonly updatedAtMs: number;
}

/** What to select from deliveries `d`. */
export const deliveryColumns = `d.id, d.webhook_id as "webhookId", d.user_id as "userId", d.event_id as "eventId",
  d.event_type as "eventType", d.status, d.attempt_count as "attemptCount", d.http_status as "httpStatus", d.response,
  d.error_code as "errorCode", d.error_message as "errorMessage",
  case when d.status = 'cancelled' then d.cancel_reason end as "cancelReason",
  ${orderingKeyOf('d')} as "orderingKey", (${sequenceOf('d')})::float8 as "sequence", d.collapse_key as "collapseKey",
  (extract(epoch from d.deliver_before) * 1000)::float8 as "deliverBeforeMs",
  (extract(epoch from case when ${isHeld} then d.held_at end) * 1000)::float8 as "heldAtMs",
  (extract(epoch from d.next_attempt_at) * 1000)::float8 as "nextAttemptAtMs",
  (extract(epoch from d.delivered_at) * 1000)::float8 as "deliveredAtMs",
  (extract(epoch from d.failed_at) * 1000)::float8 as "failedAtMs",
  (extract(epoch from d.created_at) * 1000)::float8 as "createdAtMs",
  (extract(epoch from ${changedAt}) * 1000)::float8 as "updatedAtMs"`;
