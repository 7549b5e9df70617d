// A webhook as callers see it: secrets left out, the retry policy complete.
import { effectivePolicy, type RetryPolicy } from '../domain/retry-policy.ts';
import { Hold } from '../persistence/delivery-state.ts';
import type { OnFailing, Ordering, OrderingGap, WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { countHeld } from '../persistence/queries/count-held.ts';
import { MASKED_VALUE } from '../security/custom-headers.ts';
import type { ManagementContext } from './context.ts';
import { endOfCertificate } from './client-certificate.ts';
import { type OAuthInput, shownOAuth } from './webhook-oauth.ts';
import { rotationEndsAt } from './secret-rotation.ts';

export interface WebhookView {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  readonly events: readonly string[];
  readonly description: string;
  /** In force: its own values, the service's defaults elsewhere. */
  readonly retryPolicy: RetryPolicy;
  readonly isActive: boolean;
  readonly scope: 'user' | 'platform';
  /** Only when it was just made. */
  readonly secret: string | null;
  readonly secretHint: string;
  /** When the newest secret signs alone; null when it does already. */
  readonly rotationEndsAt: Date | null;
  /** Values masked. */
  readonly customHeaders: Readonly<Record<string, string>>;
  /** Requests a second; 0 means no limit. */
  readonly rateLimit: number;
  readonly consecutiveFailures: number;
  readonly failingSince: Date | null;
  readonly disabledReason: string;
  readonly disabledAt: Date | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** Whether its deliveries are held until it is resumed. */
  readonly isPaused: boolean;
  /** The release that sends what was held; empty when none does. */
  readonly releaseId: string;
  /** Deliveries that are held, counted no further than MAX_COUNTED_HELD. */
  readonly held: number;
  readonly oldestHeldAt: Date | null;
  readonly onFailing: OnFailing;
  readonly ordering: Ordering;
  readonly orderingGap: OrderingGap;
  /** Empty: it gets every event of its types. */
  readonly filter: string;
  /** Whether its requests carry an Ed25519 signature of the service beside the HMAC. */
  readonly signsEd25519: boolean;
  /** Paths of what its receiver gets; none: the whole payload. */
  readonly fields: readonly string[];
  /** Where it gets access tokens for its receiver; null: nowhere. */
  readonly oauth: Omit<OAuthInput, 'clientSecret'> | null;
  /** What it shows to a receiver that asks for one: PEM; null: nothing. */
  readonly clientCertificate: { readonly certificate: string; readonly expiresAt: Date } | null;
  /** Why the service paused it; empty when it did not. */
  readonly pausedReason: string;
  readonly pausedAt: Date | null;
  /** When it is probed, because the service stopped it for failing; null: it is not. */
  readonly nextProbeAt: Date | null;
  /** When the certificate of its receiver ends, where that is near; else null. */
  readonly certificateExpiresAt: Date | null;
  /** Differs after every change. */
  readonly etag: string;
}

/** The same, with what is held of it: one more statement for those that hold anything, and none for the others. */
export async function webhookViews(context: ManagementContext, webhooks: readonly WebhookEndpoint[]): Promise<WebhookView[]> {
  const holding = webhooks.filter((webhook) => webhook.hold !== Hold.none).map(({ id }) => id);
  const found = holding.length === 0 ? [] : await countHeld(context.pool, holding);
  const counts = new Map(found.map((count) => [count.webhookId, count]));
  return webhooks.map((webhook) => {
    const { held = 0, oldestHeldAt = null } = counts.get(webhook.id) ?? {};
    return { ...webhookView(webhook, context.config.delivery.retry), held, oldestHeldAt };
  });
}

export async function webhookViewWithHeld(context: ManagementContext, webhook: WebhookEndpoint): Promise<WebhookView> {
  const [view] = await webhookViews(context, [webhook]);
  return view ?? webhookView(webhook, context.config.delivery.retry);
}

/** Without what is held of it. */
export function webhookView(webhook: WebhookEndpoint, defaults: RetryPolicy, secret: string | null = null): WebhookView {
  return {
    id: webhook.id,
    userId: webhook.userId,
    url: webhook.url,
    events: webhook.events,
    description: webhook.description,
    retryPolicy: effectivePolicy(webhook.retryPolicy, defaults),
    isActive: webhook.isActive,
    scope: webhook.scope,
    secret,
    secretHint: webhook.secretHint,
    rotationEndsAt: rotationEndsAt(webhook, Date.now()),
    customHeaders: Object.fromEntries(webhook.customHeaderNames.map((name) => [name, MASKED_VALUE])),
    rateLimit: webhook.rateLimit,
    consecutiveFailures: webhook.consecutiveFailures,
    failingSince: webhook.failingSince ?? null,
    disabledReason: webhook.disabledReason ?? '',
    disabledAt: webhook.disabledAt ?? null,
    createdAt: webhook.createdAt,
    updatedAt: webhook.updatedAt,
    isPaused: webhook.hold === Hold.paused,
    releaseId: webhook.releaseId ?? '',
    held: 0,
    oldestHeldAt: null,
    onFailing: webhook.onFailing,
    ordering: webhook.ordering,
    orderingGap: webhook.orderingGap,
    filter: webhook.filter ?? '',
    signsEd25519: webhook.signsEd25519,
    fields: webhook.fields,
    oauth: webhook.oauth == null ? null : shownOAuth(webhook.oauth),
    clientCertificate:
      webhook.clientCertificate == null
        ? null
        : { certificate: webhook.clientCertificate, expiresAt: endOfCertificate(webhook.clientCertificate) },
    pausedReason: webhook.pausedReason ?? '',
    pausedAt: webhook.pausedAt ?? null,
    nextProbeAt: webhook.nextProbeAt ?? null,
    certificateExpiresAt: webhook.certificateExpiresAt ?? null,
    etag: `r${webhook.revision}`,
  };
}
