// Which webhooks an event is for. The publish statement looks them up by these conditions, and an explanation asks each of them by itself.
import type { MatchingRule } from '../domain/delivery-rules.ts';

const isOfType = 'f.event_type = any (event_types)';
export const isActive = 'is_active and deleted_at is null';

// The same, in words by which no index of active webhooks can be used. For an array of users the planner expects ten, and while there are some hundred
// webhooks it would read all the active ones for each event instead: 256 us a delivery with 500 of them, now 37.
const isActiveWithoutIndex = 'coalesce(is_active, false) and deleted_at is null';

/**
 * The ways to look up the webhooks of an event, each by an index of its own. The event is `f`; the columns of the webhook have no alias. An event and a
 * webhook match in one way at most.
 */
export const ways = [
  {
    events: 'not f.broadcast',
    audience: `user_id = any (f.user_ids) and scope = 'user'`,
    active: isActiveWithoutIndex,
    eventType: isOfType,
  },
  { events: 'f.broadcast', audience: `scope = 'user'`, active: isActive, eventType: 'event_types @> array[f.event_type]' },
  { events: 'true', audience: `scope = 'platform'`, active: isActive, eventType: isOfType },
] as const;

/** Each rule by itself. */
export const matching: Readonly<Record<MatchingRule, string>> = {
  audience: ways.map(({ events, audience }) => `(${events} and ${audience})`).join(' or '),
  active: isActive,
  event_type: isOfType,
};

/** The id of the delivery of an event to a webhook: the time of the event, and a hash of both. */
export const deliveryIdOf = (eventId: string, webhookId: string): string => `'delivery_' || substr(${eventId}, 7, 10)
      || encode(substr(sha256(convert_to(${eventId} || ${webhookId}, 'UTF8')), 1, 8), 'hex')`;
