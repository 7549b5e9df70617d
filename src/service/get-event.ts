// One event: what was published, which webhooks got it, and why none did.
import { type DeliveryStatus } from '../domain/delivery.ts';
import { notFound } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';
import {
  type Concerned,
  countRecipients,
  findConcerned,
  findEvent,
  listRecipients,
  type Recipient,
  type StoredEvent,
} from '../persistence/queries/find-event.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { publisherOf } from './list-events.ts';

/** Of a broadcast's hundred thousand the answer names so many; the log of deliveries has all. */
const MAX_RECIPIENTS_SHOWN = 100;

export type NoDeliveryReason = 'no_webhook' | 'not_subscribed' | 'inactive' | 'filtered' | 'changed_since';

export interface EventDetails extends StoredEvent {
  readonly deliveries: number;
  readonly counts: ReadonlyMap<DeliveryStatus, number>;
  readonly recipients: readonly Recipient[];
  /** Null when it made deliveries. */
  readonly noDeliveryReason: NoDeliveryReason | null;
}

/** Throws `not_found` for an event of another service, as for one that never was. */
export async function getEvent(context: ManagementContext, principal: Principal, eventId: string): Promise<EventDetails> {
  if (!isId('event', eventId)) throw notFound('event');
  // A broadcast's deliveries are as many as its webhooks: a report.
  return context.reports.run(principal.userId, async (pool) => {
    const event = await findEvent(pool, eventId, publisherOf(principal));
    if (event === undefined) throw notFound('event');
    const counts = await countRecipients(pool, eventId);
    const deliveries = [...counts.values()].reduce((sum, count) => sum + count, 0);
    return {
      ...event,
      deliveries,
      counts,
      recipients: deliveries === 0 ? [] : await listRecipients(pool, eventId, MAX_RECIPIENTS_SHOWN),
      noDeliveryReason: deliveries === 0 ? reasonFor(await findConcerned(pool, event)) : null,
    };
  });
}

// What the webhooks were at that moment is not kept: the reason is what they are now, and says where that cannot be the reason.
function reasonFor({ hasAny, hasSubscribed, hasActive, hasPassed }: Concerned): NoDeliveryReason {
  if (hasPassed) return 'changed_since';
  if (hasActive) return 'filtered';
  if (hasSubscribed) return 'inactive';
  return hasAny ? 'not_subscribed' : 'no_webhook';
}
