// WebhookService.CompleteRotation: only the newest secret signs from now on.
import type { ServiceImpl } from '@connectrpc/connect';
import { WebhookSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { completeRotation as complete } from '../../service/rotate-secret.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function completeRotation(context: ManagementContext): ServiceImpl<typeof WebhookService>['completeRotation'] {
  return (request, call) =>
    answerOnce(context, { request, call }, WebhookSchema, webhookMessage, (once) =>
      complete(context, principalOf(call), request.webhookId, once),
    );
}
