// A webhook as callers see it: secrets left out, the retry policy complete.
import { effectivePolicy, type RetryPolicy } from '../domain/retry-policy.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { rotationEndsAt } from './secret-rotation.ts';
import { MASKED_VALUE } from './webhook-secrets.ts';

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
  /** Differs after every change. */
  readonly etag: string;
}

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
    etag: `r${webhook.revision}`,
  };
}
