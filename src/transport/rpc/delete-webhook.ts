// WebhookService.DeleteWebhook: removes a webhook and cancels what is pending for it.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { deleteWebhook as remove } from '../../service/delete-webhook.ts';
import { principalOf } from '../call/call-context.ts';

export function deleteWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['deleteWebhook'] {
  return async (request, call) => {
    await remove(context, principalOf(call), request.webhookId, request.etag);
    return {};
  };
}
