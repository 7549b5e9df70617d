// How a webhook looks on the wire.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  OnFailing,
  Ordering,
  OrderingGap,
  type RetryPolicy,
  Signature,
  type Webhook,
  WebhookSchema,
  WebhookScope,
} from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { RetryPolicyInput } from '../../service/retry-policy-input.ts';
import type { WebhookChanged } from '../../service/webhook-etag.ts';
import type { WebhookView } from '../../service/webhook-view.ts';

export function webhookMessage(webhook: WebhookView): MessageInitShape<typeof WebhookSchema> {
  const { retryPolicy } = webhook;
  return {
    id: webhook.id,
    userId: webhook.userId,
    url: webhook.url,
    events: [...webhook.events],
    description: webhook.description,
    retryPolicy: {
      maxRetries: retryPolicy.maxRetries,
      retryDelay: retryPolicy.retryDelayMs / 1000,
      timeout: retryPolicy.timeoutMs / 1000,
    },
    isActive: webhook.isActive,
    scope: webhook.scope === 'platform' ? WebhookScope.PLATFORM : WebhookScope.USER,
    ...(webhook.secret === null ? {} : { secret: webhook.secret }),
    secretHint: webhook.secretHint,
    ...(webhook.rotationEndsAt === null ? {} : { rotationEndsAt: timestampFromDate(webhook.rotationEndsAt) }),
    customHeaders: { ...webhook.customHeaders },
    rateLimit: webhook.rateLimit,
    health: {
      consecutiveFailures: webhook.consecutiveFailures,
      disabledReason: webhook.disabledReason,
      held: webhook.held,
      pausedReason: webhook.pausedReason,
      ...(webhook.pausedAt === null ? {} : { pausedAt: timestampFromDate(webhook.pausedAt) }),
      ...(webhook.certificateExpiresAt === null
        ? {}
        : { certificateExpiresAt: timestampFromDate(webhook.certificateExpiresAt) }),
      ...(webhook.nextProbeAt === null ? {} : { nextProbeAt: timestampFromDate(webhook.nextProbeAt) }),
      ...(webhook.oldestHeldAt === null ? {} : { oldestHeldAt: timestampFromDate(webhook.oldestHeldAt) }),
      ...(webhook.failingSince === null ? {} : { failingSince: timestampFromDate(webhook.failingSince) }),
      ...(webhook.disabledAt === null ? {} : { disabledAt: timestampFromDate(webhook.disabledAt) }),
    },
    createdAt: timestampFromDate(webhook.createdAt),
    updatedAt: timestampFromDate(webhook.updatedAt),
    etag: webhook.etag,
    paused: webhook.isPaused,
    releaseId: webhook.releaseId,
    filter: webhook.filter,
    ...(webhook.clientCertificate === null
      ? {}
      : {
          clientCertificate: {
            certificate: webhook.clientCertificate.certificate,
            expiresAt: timestampFromDate(webhook.clientCertificate.expiresAt),
          },
        }),
    fields: [...webhook.fields],
    ...(webhook.oauth === null ? {} : { oauth: webhook.oauth }),
    signatures: webhook.signsEd25519 ? [Signature.HMAC, Signature.ED25519] : [Signature.HMAC],
    onFailing: webhook.onFailing === 'hold' ? OnFailing.HOLD : OnFailing.DISABLE,
    ordering: webhook.ordering === 'key' ? Ordering.KEY : Ordering.NONE,
    orderingGap: webhook.orderingGap === 'skip' ? OrderingGap.SKIP : OrderingGap.WAIT,
  };
}

/** What an `etag_mismatch` carries, whatever the protocol. */
export function currentWebhook({ current }: WebhookChanged): Webhook {
  return create(WebhookSchema, webhookMessage(current));
}

/** What a caller has chosen; undefined: nothing. */
export function onFailingInput(onFailing: OnFailing | undefined): 'disable' | 'hold' | undefined {
  if (onFailing === OnFailing.HOLD) return 'hold';
  return onFailing === OnFailing.DISABLE ? 'disable' : undefined;
}

/** As `onFailingInput`. */
export function orderingInput(ordering: Ordering | undefined): 'none' | 'key' | undefined {
  if (ordering === Ordering.KEY) return 'key';
  return ordering === Ordering.NONE ? 'none' : undefined;
}

/** As `onFailingInput`. */
export function orderingGapInput(gap: OrderingGap | undefined): 'wait' | 'skip' | undefined {
  if (gap === OrderingGap.SKIP) return 'skip';
  return gap === OrderingGap.WAIT ? 'wait' : undefined;
}

/** Whether an Ed25519 signature is asked for; undefined: the list is empty. Throws `field_invalid` for a list without `hmac`. */
export function signsEd25519Input(signatures: readonly Signature[]): boolean | undefined {
  if (signatures.length === 0) return undefined;
  if (!signatures.includes(Signature.HMAC))
    throw invalid('field_invalid', 'signatures', 'must contain hmac: every request has an HMAC, and ed25519 comes beside it');
  return signatures.includes(Signature.ED25519);
}

export function retryPolicyInput(policy: RetryPolicy | undefined): RetryPolicyInput | undefined {
  return policy === undefined
    ? undefined
    : { maxRetries: policy.maxRetries, retryDelay: policy.retryDelay, timeout: policy.timeout };
}
