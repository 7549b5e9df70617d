// What a commit ended: counted, announced, and followed by what is sent in its place.
import type { CancelCause } from '../domain/delivery.ts';
import type { EventRow, InsertedDelivery } from '../persistence/queries/insert-events.ts';
import type { Chain } from '../persistence/queries/ordering-heads.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import { enqueueTurns, type TurnsOptions } from '../schedule/enqueue-turns.ts';
import { toStatusUpdates } from './delivery-view.ts';
import type { Commit } from './publisher.ts';

export interface AnnounceOptions extends TurnsOptions {
  readonly publish: (updates: readonly StatusUpdate[]) => void;
  readonly onCancelled: (cause: CancelCause, count: number) => void;
}

/**
 * Announces deliveries that ended when they were published, because they were too late or had a newer one in their batch, and older ones that newer ones
 * superseded. Deliveries with collapse keys are scheduled here, by what their rows say after the commit. Never rejects.
 */
export async function announceCommit(options: AnnounceOptions, { events, superseded, createdAtMs }: Commit): Promise<void> {
  const updates: StatusUpdate[] = [];
  const chains: Chain[] = [];
  for (const { event, deliveries } of events) {
    if (event.collapseKey === null && event.deliverBeforeMs === null) continue;
    for (const delivery of deliveries) {
      if (event.collapseKey !== null && event.chain !== null)
        chains.push({ webhookId: delivery.webhookId, orderingKey: event.chain });
      if (delivery.endedAs !== null) updates.push(endedUpdate(event, delivery, createdAtMs));
    }
  }
  updates.push(...toStatusUpdates(superseded));
  if (updates.length > 0) {
    for (const cause of ['expired', 'superseded'] as const) {
      const count = updates.filter(({ status, cancelReason }) => status === 'cancelled' && cancelReason === cause).length;
      if (count > 0) options.onCancelled(cause, count);
    }
    options.publish(updates);
  }
  await enqueueTurns(options, chains);
}

function endedUpdate(event: EventRow, delivery: InsertedDelivery, createdAtMs: number): StatusUpdate {
  const { deliveryId, webhookId, userId, ordering, endedAs } = delivery;
  return {
    deliveryId,
    webhookId,
    userId,
    eventId: event.id,
    eventType: event.eventType,
    status: 'cancelled',
    cancelReason: endedAs,
    attemptCount: 0,
    httpStatus: null,
    response: null,
    errorCode: null,
    errorMessage: null,
    orderingKey: event.orderingKey,
    sequence: event.orderingKey === null ? null : (ordering?.sequence ?? null),
    collapseKey: event.collapseKey,
    deliverBeforeMs: event.deliverBeforeMs,
    nextAttemptAtMs: null,
    deliveredAtMs: null,
    failedAtMs: null,
    createdAtMs,
    updatedAtMs: createdAtMs,
  };
}
