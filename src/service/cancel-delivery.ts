// Cancels one delivery that has not been delivered yet.
import { ServiceError } from '../domain/errors.ts';
import { cancelByCaller } from '../persistence/queries/cancel-delivery.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { chainsOf } from '../persistence/queries/ordering-heads.ts';
import { enqueueTurns } from '../schedule/enqueue-turns.ts';
import type { Principal } from '../security/tokens.ts';
import { changeDelivery } from './change-delivery.ts';
import type { ManagementContext } from './context.ts';
import { toStatusUpdates } from './delivery-view.ts';
import { getDelivery } from './get-delivery.ts';
import type { Once } from './idempotent-call.ts';

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
  const ended = await changeDelivery(context, {
    principal,
    deliveryId,
    once,
    change: (transaction) => cancelByCaller(transaction, deliveryId),
  });
  if (ended === undefined) return asItStands(context, principal, deliveryId);
  context.onCancelledByCaller();
  context.publishUpdates(toStatusUpdates([ended]));
  await enqueueTurns(context, chainsOf([ended]));
  return ended;
}

async function asItStands(context: ManagementContext, principal: Principal, deliveryId: string): Promise<DeliveryRow> {
  const delivery = await getDelivery(context, principal, deliveryId);
  if (delivery.status === 'cancelled') return delivery;
  throw new ServiceError('delivery_ended', `The delivery has ended: it is ${delivery.status}.`);
}
