// Tries a delivery again now, whatever its status.
import { ServiceError } from '../domain/errors.ts';
import { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { retryDelivery as makeDue } from '../persistence/queries/retry-delivery.ts';
import type { Principal } from '../security/tokens.ts';
import { changeDelivery } from './change-delivery.ts';
import type { ManagementContext } from './context.ts';
import { toStatusUpdates } from './delivery-view.ts';
import type { Once } from './idempotent-call.ts';

/**
 * Answers how the delivery stands once its attempt is due. Asked while an attempt is under way, it joins that attempt.
 * @param once when the caller may repeat the call
 */
export async function retryDelivery(
  context: ManagementContext,
  principal: Principal,
  deliveryId: string,
  once: Once<DeliveryRow> | null = null,
): Promise<DeliveryRow> {
  const row = await changeDelivery(context, {
    principal,
    deliveryId,
    once,
    async change(transaction, delivery) {
      // Not locked: should it be disabled a moment later, the attempt's own check cancels what became due here.
      const webhook = await transaction.findOne(WebhookEndpoint, { id: delivery.webhookId, isActive: true, deletedAt: null });
      if (webhook === null) throw webhookInactive();
      const due = await makeDue(transaction, deliveryId);
      if (due === undefined)
        throw delivery.collapseKey == null || hasPassed(delivery.deliverBefore) ? deliveryExpired() : deliverySuperseded();
      return due;
    },
  });
  await schedule(context, row);
  context.publishUpdates(toStatusUpdates([row]));
  return row;
}

// The row is due. If the schedule does not get it now, the reconciler puts it in.
async function schedule(context: ManagementContext, row: DeliveryRow): Promise<void> {
  if (row.nextAttemptAtMs === null) return;
  try {
    await context.scheduler.enqueue([
      { deliveryId: row.id, webhookId: row.webhookId, dueAtMs: Math.floor(row.nextAttemptAtMs) },
    ]);
  } catch (error) {
    context.log.warn({ err: error, delivery_id: row.id }, 'the schedule did not get a retry; the reconciler puts it in');
  }
}

/** Only chooses words: PostgreSQL has refused it. */
function hasPassed(deliverBefore: Date | null | undefined): boolean {
  return deliverBefore != null && deliverBefore.getTime() <= Date.now();
}

function deliverySuperseded(): ServiceError {
  return new ServiceError(
    'delivery_superseded',
    'A newer event with the collapse key of this delivery has been published: retry the newest delivery instead.',
  );
}

function deliveryExpired(): ServiceError {
  return new ServiceError(
    'delivery_expired',
    'The delivery was to be made before a moment that has passed; publish a new event instead.',
  );
}

export function webhookInactive(): ServiceError {
  return new ServiceError('webhook_inactive', 'The webhook is disabled or deleted: nothing can be sent to it.');
}
