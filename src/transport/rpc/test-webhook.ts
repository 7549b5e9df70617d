// WebhookService.TestWebhook: one signed sample, sent at once.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { testWebhook as test } from '../../service/test-webhook.ts';
import { principalOf } from '../call/call-context.ts';
import { attemptMessage } from '../messages/delivery-message.ts';

export function testWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['testWebhook'] {
  return async (request, call) => {
    const result = await test(context, principalOf(call), { webhookId: request.webhookId, eventType: request.eventType });
    return { deliveryId: result.deliveryId, success: result.success, attempt: attemptMessage(result.attempt) };
  };
}
