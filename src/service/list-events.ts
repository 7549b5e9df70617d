// What was published, newest first, for its publisher.
import { invalid, ServiceError } from '../domain/errors.ts';
import { idFloor } from '../domain/ids.ts';
import {
  type EventFilter,
  type ListedEvent,
  listEvents as listRows,
  lookDownEvents,
} from '../persistence/queries/list-events.ts';
import { behind, upTo } from '../persistence/queries/delivery-filter.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { pageBounds, toPage } from './page.ts';

/** Events that a page looks at, each a row of its own: some 50 ms of PostgreSQL's time. */
const MAX_LOOKED_AT = 50_000;

/** Empty strings and nulls do not narrow. */
export interface ListEventsInput {
  readonly eventType: string;
  readonly publisher: string;
  readonly userId: string;
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
  /** 0 means the default. */
  readonly limit: number;
  readonly pageToken: string;
}

export interface EventPage {
  readonly items: readonly ListedEvent[];
  readonly limit: number;
  readonly nextPageToken: string;
}

export async function listEvents(
  context: ManagementContext,
  principal: Principal,
  input: ListEventsInput,
  { maxLookedAt = MAX_LOOKED_AT } = {},
): Promise<EventPage> {
  const bounds = pageBounds('event', { page: 0, limit: input.limit, pageToken: input.pageToken });
  const filter = toFilter(principal, input);
  const rest = bounds.lastId === null ? filter : behind(filter, bounds.lastId, 'desc');
  return context.reports.run(principal.userId, async (pool) => {
    const lookedTo = await lookDownEvents(pool, rest, maxLookedAt);
    const rows = await listRows(pool, upTo(rest, lookedTo, 'desc'), bounds.limit + 1);
    const { items, limit, nextPageToken } = toPage(bounds, rows, { counted: 0, countedAll: false, lookedTo });
    return { items, limit, nextPageToken };
  });
}

/** Whose events a caller may see: null for those of all publishers. */
export function publisherOf(principal: Principal): string | null {
  return principal.role === 'admin' ? null : principal.userId;
}

function toFilter(principal: Principal, input: ListEventsInput): EventFilter {
  const own = publisherOf(principal);
  if (own !== null && input.publisher !== '' && input.publisher !== own) {
    const message = 'services see what they have published; leave it out';
    throw new ServiceError('role_not_allowed', `publisher: ${message}`, { violations: [{ field: 'publisher', message }] });
  }
  const { sinceMs, untilMs } = input;
  if (sinceMs !== null && untilMs !== null && sinceMs >= untilMs) {
    throw invalid('time_range_invalid', 'until', 'must be after since');
  }
  return {
    publisher: own ?? (input.publisher || null),
    eventType: input.eventType || null,
    userId: input.userId || null,
    fromId: floorOf(sinceMs),
    belowId: floorOf(untilMs),
  };
}

// An id begins with the time it was made, so a range of time is a range of ids.
function floorOf(ms: number | null): string | null {
  return ms === null ? null : idFloor('event', Math.max(0, Math.ceil(ms)));
}
