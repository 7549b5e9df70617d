// WebhookService.ResumeWebhook: sends what was held, at a pace.
import type { ServiceImpl } from '@connectrpc/connect';
import { WebhookSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { resumeWebhook as resume } from '../../service/pause-webhook.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function resumeWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['resumeWebhook'] {
  return (request, call) =>
    answerOnce(context, { request, call }, WebhookSchema, webhookMessage, (once) =>
      resume(context, principalOf(call), request.webhookId, request.rate ?? null, once),
    );
}
