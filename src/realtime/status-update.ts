// What watchers are told: one committed change of one delivery.
import type { DeliveryStatus } from '../domain/delivery.ts';
import { MAX_WATCHED_RESPONSE_CHARACTERS } from '../persistence/queries/list-changes.ts';

export interface StatusUpdate {
  readonly deliveryId: string;
  readonly webhookId: string;
  /** Whose webhook it is. */
  readonly userId: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly status: DeliveryStatus;
  readonly attemptCount: number;
  readonly httpStatus: number | null;
  readonly response: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  readonly nextAttemptAtMs: number | null;
  readonly deliveredAtMs: number | null;
  readonly failedAtMs: number | null;
  readonly createdAtMs: number;
  /** With microseconds in the fraction: the database's time of the change. */
  readonly updatedAtMs: number;
}

/** The update as watchers get it. */
export function forWatchers(update: StatusUpdate): StatusUpdate {
  if (update.response === null || update.response.length <= MAX_WATCHED_RESPONSE_CHARACTERS) return update;
  return { ...update, response: update.response.slice(0, MAX_WATCHED_RESPONSE_CHARACTERS) };
}
