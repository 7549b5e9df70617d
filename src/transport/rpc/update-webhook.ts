// WebhookService.UpdateWebhook: changes what is given and keeps the rest.
import type { ServiceImpl } from '@connectrpc/connect';
import { type Timestamp, timestampDate } from '@bufbuild/protobuf/wkt';
import { type WebhookService, WebhookScope } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { updateWebhook as update } from '../../service/update-webhook.ts';
import { principalOf } from '../call/call-context.ts';
import {
  onFailingInput,
  orderingGapInput,
  orderingInput,
  retryPolicyInput,
  signsEd25519Input,
  webhookMessage,
} from '../messages/webhook-message.ts';

export function updateWebhook(context: ManagementContext): ServiceImpl<typeof WebhookService>['updateWebhook'] {
  return async (request, call) => {
    const webhook = await update(context, principalOf(call), {
      webhookId: request.webhookId,
      url: request.url,
      events: request.events,
      description: request.description,
      retryPolicy: retryPolicyInput(request.retryPolicy),
      isActive: request.isActive,
      customHeaders: request.customHeaders,
      clearCustomHeaders: request.clearCustomHeaders,
      rateLimit: request.rateLimit,
      onFailing: onFailingInput(request.onFailing),
      filter: request.filter,
      clientCertificate: request.clientCertificate,
      oauth: request.oauth,
      fields: request.fields,
      signsEd25519: signsEd25519Input(request.signatures),
      ordering: orderingInput(request.ordering),
      orderingGap: orderingGapInput(request.orderingGap),
      etag: request.etag,
      reset: request.reset,
      readOnly: {
        id: request.id,
        userId: request.userId,
        scope: request.scope === undefined ? undefined : request.scope === WebhookScope.PLATFORM ? 'platform' : 'user',
        secretHint: request.secretHint,
        isPaused: request.paused,
        createdAt: dateOf(request.createdAt),
        updatedAt: dateOf(request.updatedAt),
        rotationEndsAt: dateOf(request.rotationEndsAt),
      },
    });
    return webhookMessage(webhook);
  };
}

function dateOf(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : timestampDate(timestamp);
}
