// WebhookService.UpdateWebhook: changes what is given and keeps the rest.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { updateWebhook as update } from '../../service/update-webhook.ts';
import { principalOf } from '../call-context.ts';
import { retryPolicyInput, webhookMessage } from './webhook-message.ts';

export function updateWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['updateWebhook'] {
  return async (request, call) => {
    const webhook = await update(context, principalOf(call), {
      webhookId: request.webhookId,
      url: request.url,
      events: request.events,
      description: request.description,
      retryPolicy: retryPolicyInput(request.retryPolicy),
      isActive: request.isActive,
      customHeaders: request.customHeaders,
      clearCustomHeaders: request.clearCustomHeaders,
      rateLimit: request.rateLimit,
    });
    return webhookMessage(webhook);
  };
}
