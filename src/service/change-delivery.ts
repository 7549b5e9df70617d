// One delivery changed by a call: found among the caller's own, and changed in the transaction that keeps the call's answer.
import type { EntityManager } from '@mikro-orm/postgresql';
import { notFound } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';
import { Delivery } from '../persistence/entities/delivery.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import type { Once } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';

export interface DeliveryChange<Result extends DeliveryRow | undefined> {
  readonly principal: Principal;
  readonly deliveryId: string;
  /** When the caller may repeat the call. */
  readonly once: Once<DeliveryRow> | null;
  /** How it stands after the change; undefined, which is not kept for the call: it was not changed. */
  readonly change: (transaction: EntityManager, delivery: Delivery) => Promise<Result>;
}

/** Rejects with `not_found` when the caller has no such delivery. */
export async function changeDelivery<Result extends DeliveryRow | undefined>(
  context: ManagementContext,
  { principal, deliveryId, once, change }: DeliveryChange<Result>,
): Promise<Result> {
  if (!isId('delivery', deliveryId)) throw notFound('delivery');
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  return context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      const delivery = await transaction.findOne(Delivery, { id: deliveryId });
      if (delivery === null) throw notFound('delivery');
      const changed = await change(transaction, delivery);
      if (changed !== undefined) await once?.keep(transaction, changed);
      return changed;
    }),
  );
}
