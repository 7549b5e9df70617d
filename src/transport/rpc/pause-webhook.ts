// WebhookService.PauseWebhook: keeps what a webhook would get instead of sending it.
import type { ServiceImpl } from '@connectrpc/connect';
import { WebhookSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { pauseWebhook as pause } from '../../service/pause-webhook.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function pauseWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['pauseWebhook'] {
  return (request, call) =>
    answerOnce(context, { request, call }, WebhookSchema, webhookMessage, (once) =>
      pause(context, principalOf(call), request.webhookId, once),
    );
}
