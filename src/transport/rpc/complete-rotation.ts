// WebhookService.CompleteRotation: only the newest secret signs from now on.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { completeRotation as complete } from '../../service/rotate-secret.ts';
import { principalOf } from '../call/call-context.ts';
import { webhookMessage } from '../messages/webhook-message.ts';

export function completeRotation(context: ManagementContext): ServiceImpl<typeof WebhookService>['completeRotation'] {
  return async (request, call) => webhookMessage(await complete(context, principalOf(call), request.webhookId));
}
