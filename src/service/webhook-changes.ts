// What the history keeps of a change: the settings before beside those after it, without secrets.
import { Hold } from '../persistence/delivery-state.ts';
import { boundedValue, type ChangedField, type FieldValue } from '../domain/webhook-change.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { redactText } from '../telemetry/redact.ts';
import { describeCertificate } from './client-certificate.ts';
import { describeOAuth } from './webhook-oauth.ts';
import { rotationEndsAt } from './secret-rotation.ts';

interface HistoryField {
  /** As callers know it. */
  readonly name: string;
  readonly show: (webhook: WebhookEndpoint) => FieldValue;
  /** What is compared where what is shown may be the same after a change. */
  readonly stored?: (webhook: WebhookEndpoint) => string | null | undefined;
}

/** Every column of a webhook: how the history shows it, or null for what no caller sets. */
const FIELDS: Readonly<Record<Extract<keyof WebhookEndpoint, string>, HistoryField | null>> = {
  id: null,
  userId: { name: 'user_id', show: ({ userId }) => userId },
  url: { name: 'url', show: ({ url }) => redactText(url), stored: ({ url }) => url },
  events: { name: 'events', show: ({ events }) => events },
  description: { name: 'description', show: ({ description }) => description },
  isActive: { name: 'is_active', show: ({ isActive }) => isActive },
  hold: { name: 'paused', show: ({ hold }) => hold === Hold.paused },
  releaseId: { name: 'release_id', show: ({ releaseId }) => releaseId ?? null },
  scope: { name: 'scope', show: ({ scope }) => scope },
  retryPolicy: { name: 'retry_policy', show: ({ retryPolicy }) => ({ ...retryPolicy }) },
  rateLimit: { name: 'rate_limit', show: ({ rateLimit }) => rateLimit },
  customHeaders: {
    name: 'custom_headers',
    show: ({ customHeaderNames }) => customHeaderNames,
    stored: ({ customHeaders }) => customHeaders,
  },
  secret: { name: 'secret_hint', show: ({ secretHint }) => secretHint, stored: ({ secret }) => secret },
  previousSecrets: {
    name: 'rotation_ends_at',
    show: (webhook) => rotationEndsAt(webhook, Date.now())?.toISOString() ?? null,
  },
  filter: { name: 'filter', show: ({ filter }) => filter ?? null },
  ordering: { name: 'ordering', show: ({ ordering }) => ordering },
  orderingGap: { name: 'ordering_gap', show: ({ orderingGap }) => orderingGap },
  signsEd25519: { name: 'signatures', show: ({ signsEd25519 }) => (signsEd25519 ? ['hmac', 'ed25519'] : ['hmac']) },
  clientCertificate: {
    name: 'client_certificate',
    show: ({ clientCertificate }) => (clientCertificate == null ? null : describeCertificate(clientCertificate)),
    stored: ({ clientCertificate, clientKey }) => JSON.stringify([clientCertificate ?? null, clientKey ?? null]),
  },
  fields: { name: 'fields', show: ({ fields: paths }) => paths },
  oauth: {
    name: 'oauth',
    show: ({ oauth }) => (oauth == null ? null : describeOAuth(oauth)),
    stored: ({ oauth, oauthSecret }) => JSON.stringify([oauth ?? null, oauthSecret ?? null]),
  },
  onFailing: { name: 'on_failing', show: ({ onFailing }) => onFailing },
  pausedReason: { name: 'paused_reason', show: ({ pausedReason }) => pausedReason ?? null },
  disabledReason: { name: 'disabled_reason', show: ({ disabledReason }) => disabledReason ?? null },
  // Shown with another, or known from the entry itself.
  secretHint: null,
  customHeaderNames: null,
  clientKey: null,
  oauthSecret: null,
  isGathering: null,
  revision: null,
  createdAt: null,
  updatedAt: null,
  disabledAt: null,
  pausedAt: null,
  deletedAt: null,
  // Counted by the service.
  consecutiveFailures: null,
  failingSince: null,
  nextProbeAt: null,
  certificateExpiresAt: null,
  clientCertificateNoticedAt: null,
};

const fields = Object.values(FIELDS).filter((field) => field !== null);

/** How a webhook stands, to be compared after a change. */
export type Snapshot = readonly { readonly shown: FieldValue; readonly compared: string }[];

export function snapshotOf(webhook: WebhookEndpoint): Snapshot {
  return fields.map(({ show, stored }) => {
    const shown = show(webhook);
    return { shown: boundedValue(shown), compared: JSON.stringify(stored === undefined ? shown : (stored(webhook) ?? null)) };
  });
}

export function changedFields(before: Snapshot, webhook: WebhookEndpoint): ChangedField[] {
  return snapshotOf(webhook).flatMap(({ shown, compared }, index) => {
    const old = before[index];
    if (old === undefined || old.compared === compared) return [];
    return [{ field: fields[index]?.name ?? '', old: old.shown, new: shown }];
  });
}

/** What a new webhook was given. */
export function firstFields(webhook: WebhookEndpoint): ChangedField[] {
  return snapshotOf(webhook).flatMap(({ shown }, index) =>
    shown === null ? [] : [{ field: fields[index]?.name ?? '', old: null, new: shown }],
  );
}
