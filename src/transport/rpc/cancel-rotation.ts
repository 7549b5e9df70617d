// WebhookService.CancelRotation: back to the secret from before.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { cancelRotation as cancel } from '../../service/rotate-secret.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function cancelRotation(context: ManagementContext): ServiceImpl<typeof WebhookService>['cancelRotation'] {
  return async (request, call) => webhookMessage(await cancel(context, principalOf(call), request.webhookId));
}
