// Watching deliveries: what one may see of the feed, from where one left off.
import type { DeliveryStatus } from '../domain/delivery.ts';
import { resumeFrom } from '../realtime/cursor.ts';
import type { Watcher } from '../realtime/watcher.ts';
import type { Principal } from '../security/tokens.ts';
import type { ServiceContext } from './context.ts';
import { listedOwner } from './owner.ts';

/** Empty means everything one may see. */
export interface WatchInput {
  /** The cursor of the last message seen; empty: from now on. */
  readonly after: string;
  readonly webhookIds: readonly string[];
  readonly eventTypes: readonly string[];
  readonly statuses: readonly DeliveryStatus[];
  readonly eventId: string;
  /** Services and admins: only this user's. */
  readonly userId: string;
}

/**
 * Starts watching; the caller reads with next() until it gives null, and must close().
 *
 * Errors: `invalid_argument` (cursor_invalid), `resource_exhausted` (watcher_limit_reached, overloaded), `unavailable`.
 */
export async function watchDeliveries(
  context: Pick<ServiceContext, 'feed'>,
  principal: Principal,
  input: WatchInput,
): Promise<Watcher> {
  const owner = listedOwner(principal, input.userId);
  return context.feed.watch({
    caller: principal.userId,
    fromMicros: input.after === '' ? null : resumeFrom(input.after),
    filter: {
      userId: 'userId' in owner ? owner.userId : null,
      webhookIds: new Set(input.webhookIds),
      eventTypes: new Set(input.eventTypes),
      statuses: new Set(input.statuses),
      eventId: input.eventId === '' ? null : input.eventId,
    },
  });
}
