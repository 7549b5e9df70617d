// What watchers get: one committed change of one delivery.
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { MAX_WATCHED_RESPONSE_CHARACTERS } from '../persistence/queries/list-changes.ts';

/** `updatedAtMs` is the database's time of the change, with microseconds in the fraction. */
export interface StatusUpdate extends Omit<DeliveryRow, 'id'> {
  readonly deliveryId: string;
}

/** The update as watchers get it. */
export function forWatchers(update: StatusUpdate): StatusUpdate {
  if (update.response === null || update.response.length <= MAX_WATCHED_RESPONSE_CHARACTERS) return update;
  return { ...update, response: update.response.slice(0, MAX_WATCHED_RESPONSE_CHARACTERS) };
}
