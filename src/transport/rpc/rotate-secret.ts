// WebhookService.RotateSecret: a new signing secret; the answer carries it.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { rotateSecret as rotate } from '../../service/rotate-secret.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function rotateSecret(context: ManagementContext): ServiceImpl<typeof WebhookService>['rotateSecret'] {
  return async (request, call) =>
    webhookMessage(await rotate(context, principalOf(call), request.webhookId, request.overlapHours));
}
