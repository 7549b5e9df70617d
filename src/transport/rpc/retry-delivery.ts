// DeliveryService.RetryDelivery: tries a delivery again now.
import type { ServiceImpl } from '@connectrpc/connect';
import { DeliverySchema, type DeliveryService } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { retryDelivery as retry } from '../../service/retry-delivery.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { deliveryMessage } from '../messages/delivery-message.ts';

export function retryDelivery(context: ManagementContext): ServiceImpl<typeof DeliveryService>['retryDelivery'] {
  return (request, call) =>
    answerOnce(context, { request, call }, DeliverySchema, deliveryMessage, (once) =>
      retry(context, principalOf(call), request.deliveryId, once),
    );
}
