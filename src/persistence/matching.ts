// Which webhooks an event is for. The publish statement looks them up by these conditions, and an explanation asks each of them by itself.
import type { MatchingRule } from '../domain/delivery-rules.ts';

/**
 * Whether a webhook is subscribed to a type: it names the type, or has a pattern for it. Its patterns are null when it names all its types, and are
 * not looked at when the name is found: who has none pays nothing for them.
 * @param webhook the alias of the webhook with its dot, or nothing
 */
export const isSubscribedTo = (type: string, webhook = ''): string =>
  `(${type} = any (${webhook}event_types) or coalesce(${type} like any (${webhook}type_patterns), false))`;
/** Among all webhooks, each of these two is found by an index of its own. A webhook fulfils one of them at most. */
export const namesType = (type: string): string => `event_types @> array[${type}]`;
export const hasPatternFor = (type: string): string =>
  `type_patterns is not null and ${type} like any (type_patterns) and not ${type} = any (event_types)`;
const isOfType = isSubscribedTo('f.event_type');

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
  { events: 'f.broadcast', audience: `scope = 'user'`, active: isActive, eventType: namesType('f.event_type') },
  { events: 'f.broadcast', audience: `scope = 'user'`, active: isActive, eventType: hasPatternFor('f.event_type') },
  { events: 'true', audience: `scope = 'platform'`, active: isActive, eventType: isOfType },
] as const;

/**
 * Whether the webhook has no filter, or one that the payload passes. The text is read as jsonb once an event and only for webhooks with a filter: PostgreSQL
 * evaluates the inner select when it is first needed, and keeps its value for the other webhooks of the event. The type stands here again since the
 * planner puts what looks cheap first. What cannot be read or compared passes no filter.
 */
const passesFilter = `(filter_path is null or ${isOfType} and ((select payload_document(f.data)) @@ filter_path) is true)`;

/** Each rule by itself. */
export const matching: Readonly<Record<MatchingRule, string>> = {
  audience: ways.map(({ events, audience }) => `(${events} and ${audience})`).join(' or '),
  active: isActive,
  event_type: isOfType,
  filter: passesFilter,
};

/** The id of the delivery of an event to a webhook: the time of the event, and a hash of both. */
export const deliveryIdOf = (eventId: string, webhookId: string): string => `'delivery_' || substr(${eventId}, 7, 10)
      || encode(substr(sha256(convert_to(${eventId} || ${webhookId}, 'UTF8')), 1, 8), 'hex')`;
