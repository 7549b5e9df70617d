// A webhook: an endpoint that a user registered.
import { defineEntity, type InferEntity, p } from '@mikro-orm/core';
import type { StoredRetryPolicy } from '../../domain/retry-policy.ts';
import { JsonText } from './json-text.ts';
import { ownerFilter } from './owner.ts';

/** A secret that signs beside the newest one for a while. */
export interface PreviousSecret {
  /** As the secret box seals it. */
  readonly sealed: string;
  readonly expires_at: string;
  /** It signs the HomeChef header until then. Absent: it was replaced by a version that signed that header with the newest at once. */
  readonly signs_header?: true;
}

/** How it gets access tokens of its receiver's token server; its secret is stored beside this, sealed. */
export interface StoredOAuth {
  readonly token_url: string;
  readonly client_id: string;
  readonly scope: string;
  readonly audience: string;
}

/** A webhook that failed for too long is disabled, or paused so that what it would get is held. */
export type OnFailing = 'disable' | 'hold';

/** Whether deliveries of one ordering key wait for each other, and how long for one that fails: until it has ended, or until its first failure. */
export type Ordering = 'none' | 'key';
export type OrderingGap = 'wait' | 'skip';

export const WebhookEndpoint = defineEntity({
  name: 'WebhookEndpoint',
  tableName: 'webhook_endpoints',
  filters: { owner: ownerFilter },
  properties: {
    id: p.string().length(255).primary(),
    userId: p.string().length(255),
    url: p.text(),
    events: p.type(JsonText).$type<string[]>(),
    /** Sealed; the plain text exists only in the replies of create and rotate. */
    secret: p.string().length(255),
    description: p.text().default(''),
    isActive: p.boolean().default(true),
    retryPolicy: p.json().$type<StoredRetryPolicy>(),
    // Documented as timestamps without a zone; they hold UTC.
    createdAt: p.datetime().columnType('timestamp'),
    updatedAt: p.datetime().columnType('timestamp'),
    scope: p.string().$type<'user' | 'platform'>().default('user'),
    secretHint: p.string().length(8),
    previousSecrets: p.json().$type<PreviousSecret[]>(),
    /** Sealed: values are often credentials. */
    customHeaders: p.text().nullable(),
    customHeaderNames: p.array(),
    /** What it shows to a receiver that asks for one: PEM, with the chain behind it. */
    clientCertificate: p.text().nullable(),
    /** Sealed. */
    clientKey: p.text().nullable(),
    /** When its owner was notified that the client certificate ends soon; null: not yet. */
    clientCertificateNoticedAt: p.datetime().columnType('timestamptz').nullable(),
    /** Where it gets access tokens for its receiver; null: nowhere. */
    oauth: p.json().$type<StoredOAuth>().nullable(),
    /** Sealed. */
    oauthSecret: p.text().nullable(),
    /** Paths of what its receiver gets; none: the whole payload. */
    fields: p.array(),
    rateLimit: p.integer().default(0),
    consecutiveFailures: p.integer().default(0),
    failingSince: p.datetime().columnType('timestamptz').nullable(),
    disabledReason: p.string().length(20).nullable(),
    disabledAt: p.datetime().columnType('timestamptz').nullable(),
    revision: p.integer().default(1),
    /** See `Hold` in delivery-state.ts. */
    hold: p.smallint().default(0),
    isGathering: p.boolean().default(false),
    /** An SQL/JSON path that payloads must pass; null: every payload does. PostgreSQL evaluates `filter_path`, which it generates from this. */
    filter: p.text().nullable(),
    /** Whether deliveries of one ordering key wait for each other. */
    ordering: p.string().length(10).$type<Ordering>().default('none'),
    orderingGap: p.string().length(10).$type<OrderingGap>().default('wait'),
    /** Whether its requests carry an Ed25519 signature beside the HMAC. */
    signsEd25519: p.boolean().default(false),
    /** What becomes of it once it has failed for too long. */
    onFailing: p.string().length(10).$type<OnFailing>().default('disable'),
    /** Why the service paused it; null when it did not. */
    pausedReason: p.string().length(20).nullable(),
    pausedAt: p.datetime().columnType('timestamptz').nullable(),
    /** When it is probed next, because the service stopped it for failing; null: it is not. */
    nextProbeAt: p.datetime().columnType('timestamptz').nullable(),
    /** When the certificate of its receiver ends, where that was near at the last handshake. */
    certificateExpiresAt: p.datetime().columnType('timestamptz').nullable(),
    /** The release that drains the hold. */
    releaseId: p.string().length(64).nullable(),
    deletedAt: p.datetime().columnType('timestamptz').nullable(),
  },
});
export type WebhookEndpoint = InferEntity<typeof WebhookEndpoint>;
