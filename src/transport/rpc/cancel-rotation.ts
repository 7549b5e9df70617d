// WebhookService.CancelRotation: back to the secret from before.
import type { ServiceImpl } from '@connectrpc/connect';
import { WebhookSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { cancelRotation as cancel } from '../../service/rotate-secret.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function cancelRotation(context: ManagementContext): ServiceImpl<typeof WebhookService>['cancelRotation'] {
  return (request, call) =>
    answerOnce(context, { request, call }, WebhookSchema, webhookMessage, (once) =>
      cancel(context, principalOf(call), request.webhookId, once),
    );
}
