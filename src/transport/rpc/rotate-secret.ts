// WebhookService.RotateSecret: a new signing secret; the answer carries it.
import type { ServiceImpl } from '@connectrpc/connect';
import { WebhookSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { rotateSecret as rotate } from '../../service/rotate-secret.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function rotateSecret(context: ManagementContext): ServiceImpl<typeof WebhookService>['rotateSecret'] {
  return (request, call) =>
    answerOnce(context, { request, call }, WebhookSchema, webhookMessage, (once) =>
      rotate(context, principalOf(call), request.webhookId, request.overlapHours, once),
    );
}
