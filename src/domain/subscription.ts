// What a webhook is subscribed to: names of event types, and patterns of names.

/** The name of every type. */
const ANY = '*';
/** What every type below a prefix ends in, as in `order.*`. */
const BELOW = '.*';

/** One part of a name, between dots. */
export const PART = '[a-z][a-z0-9_]*';
const PREFIX = new RegExp(`^${PART}(?:\\.${PART}){0,3}$`);

/** Whether a subscription is a pattern: `*`, or a prefix as in `order.*`. It may be of types that do not exist yet. */
export function isPattern(subscription: string): boolean {
  return subscription === ANY || (subscription.endsWith(BELOW) && PREFIX.test(subscription.slice(0, -BELOW.length)));
}

/** Whether a webhook with this subscription gets events of the type. PostgreSQL decides the same by `type_patterns`. */
export function isSubscribedBy(name: string, subscription: string): boolean {
  if (!isPattern(subscription)) return subscription === name;
  return name.startsWith(subscription.slice(0, -ANY.length));
}
