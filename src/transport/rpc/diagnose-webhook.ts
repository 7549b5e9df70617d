// WebhookService.DiagnoseWebhook: the way to the receiver of a webhook, looked at step by step.
import type { ServiceImpl } from '@connectrpc/connect';
import type { WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { diagnoseWebhook as diagnose } from '../../service/diagnose-webhook.ts';
import { principalOf } from '../call/call-context.ts';
import { diagnosisMessage } from '../messages/diagnosis-message.ts';

export function diagnoseWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['diagnoseWebhook'] {
  return async (request, call) => diagnosisMessage(await diagnose(context, principalOf(call), request.webhookId));
}
