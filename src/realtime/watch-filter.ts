// Which changes a watcher wants.
import type { DeliveryStatus } from '../domain/delivery.ts';
import type { StatusUpdate } from './status-update.ts';

/** Empty means everything. */
export interface WatchFilter {
  /** Null: everyone's. */
  readonly userId: string | null;
  readonly webhookIds: ReadonlySet<string>;
  readonly eventTypes: ReadonlySet<string>;
  readonly statuses: ReadonlySet<DeliveryStatus>;
  readonly eventId: string | null;
}

export function matches(filter: WatchFilter, update: StatusUpdate): boolean {
  return (
    (filter.userId === null || filter.userId === update.userId) &&
    (filter.webhookIds.size === 0 || filter.webhookIds.has(update.webhookId)) &&
    (filter.eventTypes.size === 0 || filter.eventTypes.has(update.eventType)) &&
    (filter.statuses.size === 0 || filter.statuses.has(update.status)) &&
    (filter.eventId === null || filter.eventId === update.eventId)
  );
}
