// DeliveryService.ExplainDelivery: why a webhook got an event or did not.
import type { ServiceImpl } from '@connectrpc/connect';
import type { DeliveryService } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { explainDelivery as explain } from '../../service/explain.ts';
import { principalOf } from '../call/call-context.ts';
import { explanationMessage } from '../messages/explanation-message.ts';

export function explainDelivery(context: ManagementContext): ServiceImpl<typeof DeliveryService>['explainDelivery'] {
  return async ({ webhookId, eventId, deliveryId }, call) =>
    explanationMessage(await explain(context, principalOf(call), { webhookId, eventId, deliveryId }));
}
