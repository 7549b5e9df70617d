// WebhookService.TestWebhook: one signed sample, sent at once.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { TestWebhookResponseSchema, type WebhookService } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { testWebhook as test, type TestResult } from '../../service/test-webhook.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { attemptMessage } from '../messages/delivery-message.ts';

export function testWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['testWebhook'] {
  return (request, call) =>
    answerOnce(context, { request, call }, TestWebhookResponseSchema, resultMessage, (once) =>
      test(context, principalOf(call), { webhookId: request.webhookId, eventType: request.eventType }, once),
    );
}

function resultMessage({ deliveryId, success, attempt }: TestResult): MessageInitShape<typeof TestWebhookResponseSchema> {
  return { deliveryId, success, attempt: attemptMessage(attempt) };
}
