// Which event types a webhook's subscriptions stand for: names, `order.*` and `*`.
import { isPattern, isSubscribedBy } from '../../src/domain/subscription.ts';

/** Names first, then what the patterns take in of the catalogue. */
export function namesOf(subscriptions: readonly string[], catalogue: readonly { readonly name: string }[]): string[] {
  const covered = catalogue.map(({ name }) => name).filter((name) => subscriptions.some((one) => isSubscribedBy(name, one)));
  return [...new Set([...subscriptions.filter((one) => !isPattern(one)), ...covered])];
}
