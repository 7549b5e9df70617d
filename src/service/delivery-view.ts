// A delivery and its attempts as callers and watchers see them.
import type { AttemptTrigger, Transcript } from '../domain/delivery.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';

export interface DeliveryDetails extends DeliveryRow {
  /** The exact text that is sent; null when the event's row is gone. */
  readonly body: string | null;
  /** Oldest first. */
  readonly attempts: readonly AttemptView[];
}

export interface AttemptView {
  /** From 1 on. */
  readonly number: number;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly httpStatus: number | null;
  readonly response: string | null;
  readonly responseTruncated: boolean;
  readonly responseOddity: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly trigger: AttemptTrigger;
  /** Null of a first try that succeeded; absent from what a process kept that had none. */
  readonly transcript?: Transcript | null;
}

export function toStatusUpdates(rows: readonly DeliveryRow[]): StatusUpdate[] {
  return rows.map(({ id, ...row }) => ({ deliveryId: id, ...row }));
}
