// Watching events: what a webhook of a user would get, without one.
import { readEventCursor } from '../realtime/event-cursor.ts';
import type { EventWatcher } from '../realtime/event-watcher.ts';
import type { Principal } from '../security/tokens.ts';
import type { ServiceContext } from './context.ts';
import { newOwnerId } from './owner.ts';
import { checkFilter } from './webhook-filter.ts';

export interface WatchEventsInput {
  /** The cursor of the last message seen; empty: a new temporary webhook, from now on. */
  readonly after: string;
  /** Types of the catalogue and patterns; empty: all. */
  readonly eventTypes: readonly string[];
  /** Services and admins: whose events; empty: the caller's own. */
  readonly userId: string;
  /** As of a webhook; empty: all payloads. */
  readonly filter: string;
}

/** What a filter is tried on when no types are named. */
const ALL_TYPES = ['*'];

/**
 * Starts watching; the caller reads with next() until it gives null, and must close().
 *
 * Errors: `permission_denied` (role_not_allowed), `invalid_argument` (event_type_unknown, filter_invalid, cursor_invalid), `resource_exhausted`
 * (watcher_limit_reached, overloaded), `unavailable`.
 */
export async function watchEvents(
  context: Pick<ServiceContext, 'eventFeed' | 'catalogue' | 'pool'>,
  principal: Principal,
  input: WatchEventsInput,
): Promise<EventWatcher> {
  // As of a new webhook: one user's, the caller's unless the role allows another.
  const userId = newOwnerId(principal, input.userId);
  context.catalogue.checkSubscriptions(input.eventTypes, 'event_types');
  await checkFilter(context, input.filter, input.eventTypes.length === 0 ? ALL_TYPES : input.eventTypes);
  return context.eventFeed.watch({
    userId,
    caller: principal.userId,
    subscriptions: input.eventTypes,
    filter: input.filter || null,
    from: input.after === '' ? null : readEventCursor(input.after),
  });
}
