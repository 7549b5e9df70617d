// WebhookService.ListWebhooks: webhooks, newest first.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { listWebhooks as list } from '../../service/list-webhooks.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function listWebhooks(context: ManagementContext): ServiceImpl<typeof WebhookService>['listWebhooks'] {
  return async (request, call) => {
    const found = await list(context, principalOf(call), {
      userId: request.userId,
      isActive: request.isActive ?? null,
      url: request.url,
      eventType: request.eventType,
      text: request.q,
      webhookIds: request.webhookIds,
      page: request.page,
      limit: request.limit,
      pageToken: request.pageToken,
    });
    return {
      webhooks: found.items.map(webhookMessage),
      page: found.page,
      limit: found.limit,
      total: found.total,
      totalIsExact: found.totalIsExact,
      nextPageToken: found.nextPageToken,
    };
  };
}
