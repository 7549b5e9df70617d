// Cancels one delivery that has not been delivered yet.
import { notFound, ServiceError } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';
import { Delivery } from '../persistence/entities/delivery.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { cancelByCaller } from '../persistence/queries/cancel-delivery.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { enqueueTurns } from '../schedule/enqueue-turns.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { toStatusUpdates } from './delivery-view.ts';
import { getDelivery } from './get-delivery.ts';
import type { Once } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';

/**
 * Answers how the delivery stands then. One that is cancelled already is answered as it stands. A request that is under way is not broken off:
 * should it succeed, the delivery is delivered.
 *
 * Errors: `not_found`, `failed_precondition` (delivery_ended).
 * @param once when the caller may repeat the call
 */
export async function cancelDelivery(
  context: ManagementContext,
  principal: Principal,
  deliveryId: string,
  once: Once<DeliveryRow> | null = null,
): Promise<DeliveryRow> {
  if (!isId('delivery', deliveryId)) throw notFound('delivery');
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  const ended = await context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      if ((await transaction.findOne(Delivery, { id: deliveryId })) === null) throw notFound('delivery');
      const row = await cancelByCaller(transaction, deliveryId);
      if (row !== undefined) await once?.keep(transaction, row);
      return row;
    }),
  );
  if (ended === undefined) return asItStands(context, principal, deliveryId);
  context.onCancelledByCaller();
  context.publishUpdates(toStatusUpdates([ended]));
  await letNextGo(context, ended);
  return ended;
}

async function asItStands(context: ManagementContext, principal: Principal, deliveryId: string): Promise<DeliveryRow> {
  const delivery = await getDelivery(context, principal, deliveryId);
  if (delivery.status === 'cancelled') return delivery;
  throw new ServiceError('delivery_ended', `The delivery has ended: it is ${delivery.status}.`);
}

// The next one of its ordering key is due. If the schedule does not get it now, the reconciler puts it in.
async function letNextGo({ pool, scheduler, log }: ManagementContext, { webhookId, orderingKey }: DeliveryRow): Promise<void> {
  if (orderingKey == null) return;
  try {
    await enqueueTurns(pool, scheduler, [{ webhookId, orderingKey }]);
  } catch (error) {
    log.warn({ err: error, webhook_id: webhookId }, 'a delivery whose turn it is was not scheduled; the reconciler will do it');
  }
}
