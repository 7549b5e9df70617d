// WebhookService.CreateWebhook: registers a webhook; the answer carries its secret.
import { create as createMessage } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  type CreateWebhookRequest,
  DiagnosisSchema,
  WebhookSchema,
  WebhookScope,
  type WebhookService,
} from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { createWebhook as create, type CreateWebhookInput } from '../../service/create-webhook.ts';
import { createDiagnosed } from '../../service/diagnose-webhook.ts';
import { answerOnce } from '../call/answer-once.ts';
import { principalOf } from '../call/call-context.ts';
import { diagnosisMessage } from '../messages/diagnosis-message.ts';
import {
  onFailingInput,
  orderingGapInput,
  orderingInput,
  retryPolicyInput,
  signsEd25519Input,
  webhookMessage,
} from '../messages/webhook-message.ts';

export function createWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['createWebhook'] {
  return async (request, call) => {
    const createOnce = () =>
      answerOnce(context, { request, call }, WebhookSchema, webhookMessage, (once) =>
        create(context, principalOf(call), inputOf(request), once),
      );
    if (!request.diagnose) return createOnce();
    const { created, diagnosis } = await createDiagnosed(context, principalOf(call), request.userId, createOnce);
    if (diagnosis !== null) created.diagnosis = createMessage(DiagnosisSchema, diagnosisMessage(diagnosis));
    return created;
  };
}

function inputOf(request: CreateWebhookRequest): CreateWebhookInput {
  return {
    url: request.url,
    events: request.events,
    description: request.description,
    retryPolicy: retryPolicyInput(request.retryPolicy),
    userId: request.userId,
    scope: request.scope === WebhookScope.PLATFORM ? 'platform' : 'user',
    customHeaders: request.customHeaders,
    rateLimit: request.rateLimit,
    isPaused: request.paused,
    onFailing: onFailingInput(request.onFailing) ?? 'disable',
    filter: request.filter,
    clientCertificate: request.clientCertificate ?? null,
    oauth: request.oauth ?? null,
    fields: request.fields,
    signsEd25519: signsEd25519Input(request.signatures) ?? false,
    ordering: orderingInput(request.ordering) ?? 'none',
    orderingGap: orderingGapInput(request.orderingGap) ?? 'wait',
  };
}
