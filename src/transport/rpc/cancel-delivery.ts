// DeliveryService.CancelDelivery: ends a delivery that has not been delivered yet.
import type { ServiceImpl } from '@connectrpc/connect';
import { DeliverySchema, type DeliveryService } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { cancelDelivery as cancel } from '../../service/cancel-delivery.ts';
import type { ManagementContext } from '../../service/context.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { deliveryMessage } from '../messages/delivery-message.ts';

export function cancelDelivery(context: ManagementContext): ServiceImpl<typeof DeliveryService>['cancelDelivery'] {
  return (request, call) =>
    answerOnce(context, { request, call }, DeliverySchema, deliveryMessage, (once) =>
      cancel(context, principalOf(call), request.deliveryId, once),
    );
}
