// One delivery in the hands of this process, with everything an attempt needs except the webhook itself.
import type { AttemptTrigger } from '../domain/delivery.ts';
import type { Leased } from '../schedule/scheduler.ts';

export interface Task {
  readonly lease: Leased;
  readonly deliveryId: string;
  readonly webhookId: string;
  /** The webhook's revision when the task was made: an older copy of the webhook must not be used. */
  readonly revision: number;
  readonly eventType: string;
  /** Canonical JSON text; null when the event's row is missing or damaged. */
  readonly data: string | null;
  readonly occurredAtMs: number;
  readonly traceparent: string | null;
  readonly attemptCount: number;
  readonly retriesUsed: number;
  readonly trigger: AttemptTrigger;
}
