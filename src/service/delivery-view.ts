// A delivery and its attempts as callers see them.
import type { AttemptTrigger, DeliveryStatus } from '../domain/delivery.ts';

export interface DeliveryView {
  readonly id: string;
  readonly webhookId: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly status: DeliveryStatus;
  readonly httpStatus: number | null;
  readonly response: string | null;
  readonly attemptCount: number;
  /** Null unless it is to be tried again. */
  readonly nextRetryAtMs: number | null;
  readonly deliveredAtMs: number | null;
  readonly failedAtMs: number | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export interface DeliveryDetails extends DeliveryView {
  /** The exact text that is sent; null when the event's row is gone. */
  readonly body: string | null;
  /** Oldest first. */
  readonly attempts: readonly Attempt[];
}

export interface Attempt {
  /** From 1 on. */
  readonly number: number;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly httpStatus: number | null;
  readonly response: string | null;
  readonly responseTruncated: boolean;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly trigger: AttemptTrigger;
}
