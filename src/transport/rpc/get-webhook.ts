// WebhookService.GetWebhook: one webhook.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getWebhook as get } from '../../service/get-webhook.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function getWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['getWebhook'] {
  return async (request, call) => webhookMessage(await get(context, principalOf(call), request.webhookId));
}
