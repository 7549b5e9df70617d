// WebhookService.GetWebhookHistory: who changed what of a webhook, and when.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getWebhookHistory as get } from '../../service/get-webhook-history.ts';
import { principalOf } from '../call/call-context.ts';
import { historyMessage } from '../messages/history-message.ts';

export function getWebhookHistory(context: ManagementContext): ServiceImpl<typeof WebhookService>['getWebhookHistory'] {
  return async ({ webhookId, limit, pageToken }, call) =>
    historyMessage(await get(context, principalOf(call), { webhookId, limit, pageToken }));
}
