// Chains: which deliveries of one webhook wait for one another.
import { createHash } from 'node:crypto';

/** Begins the chain of events without an ordering key. No ordering key begins so: it has no control character. */
const HIDDEN = '\u0001';

export interface Keys {
  readonly eventType: string;
  readonly orderingKey: string | null;
  readonly collapseKey: string | null;
}

/**
 * The chain of an event at each of its webhooks; null: its deliveries wait for none. It is the ordering key where there is one. Else events of one type with one
 * collapse key wait for one another, so that none arrives after a newer one. Their chain is a hash: both together may be longer than a key.
 */
export function chainOf({ eventType, orderingKey, collapseKey }: Keys): string | null {
  if (orderingKey !== null || collapseKey === null) return orderingKey;
  return (
    HIDDEN +
    createHash('sha256')
      .update(JSON.stringify([eventType, collapseKey]))
      .digest('base64url')
  );
}

/** Whether the chain is that of a collapse key, which is nothing to show. */
export function isHidden(chain: string): boolean {
  return chain.startsWith(HIDDEN);
}
