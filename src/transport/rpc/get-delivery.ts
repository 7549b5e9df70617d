// DeliveryService.GetDelivery: one delivery with its body and every attempt.
import type { ServiceImpl } from '@connectrpc/connect';
import type { DeliveryService } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getDelivery as get } from '../../service/get-delivery.ts';
import { principalOf } from '../call/call-context.ts';
import { deliveryDetailsMessage } from '../messages/delivery-message.ts';

export function getDelivery(context: ManagementContext): ServiceImpl<typeof DeliveryService>['getDelivery'] {
  return async (request, call) =>
    deliveryDetailsMessage(await get(context, principalOf(call), request.deliveryId), request.view);
}
