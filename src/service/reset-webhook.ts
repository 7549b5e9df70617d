// What of a webhook can go back to its default.
import { invalid } from '../domain/errors.ts';
import { noClientCertificate } from './client-certificate.ts';
import { noOAuth } from './webhook-oauth.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';

const withoutPolicyField = (webhook: WebhookEndpoint, name: keyof WebhookEndpoint['retryPolicy']): void => {
  const { [name]: _, ...others } = webhook.retryPolicy;
  webhook.retryPolicy = others;
};

const RESETS: Readonly<Record<string, (webhook: WebhookEndpoint) => void>> = {
  description: (webhook) => void (webhook.description = ''),
  rate_limit: (webhook) => void (webhook.rateLimit = 0),
  filter: (webhook) => void (webhook.filter = null),
  ordering: (webhook) => void (webhook.ordering = 'none'),
  ordering_gap: (webhook) => void (webhook.orderingGap = 'wait'),
  signatures: (webhook) => void (webhook.signsEd25519 = false),
  client_certificate: (webhook) => void Object.assign(webhook, noClientCertificate),
  oauth: (webhook) => void Object.assign(webhook, noOAuth),
  fields: (webhook) => void (webhook.fields = []),
  on_failing: (webhook) => void (webhook.onFailing = 'disable'),
  custom_headers: (webhook) => {
    webhook.customHeaders = null;
    webhook.customHeaderNames = [];
  },
  retry_policy: (webhook) => void (webhook.retryPolicy = {}),
  'retry_policy.max_retries': (webhook) => withoutPolicyField(webhook, 'max_retries'),
  'retry_policy.retry_delay': (webhook) => withoutPolicyField(webhook, 'retry_delay'),
  'retry_policy.timeout': (webhook) => withoutPolicyField(webhook, 'timeout'),
};

/** Throws `field_invalid` for a name that has no default, before anything is changed. */
export function checkResets(names: readonly string[]): void {
  for (const name of names) {
    if (!Object.hasOwn(RESETS, name)) throw invalid('field_invalid', name, 'has no default to go back to');
  }
}

export function resetWebhook(webhook: WebhookEndpoint, names: readonly string[]): void {
  for (const name of names) RESETS[name]?.(webhook);
}
