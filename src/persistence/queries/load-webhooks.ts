// All of a webhook that an attempt uses, secrets still sealed.
import type { Pool } from 'pg';
import type { StoredRetryPolicy } from '../../domain/retry-policy.ts';
import { textArray } from '../array-parameter.ts';
import type { StoredOAuth } from '../entities/webhook-endpoint.ts';
import { holdsEverything } from '../delivery-state.ts';

export interface StoredWebhook {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  readonly sealedSecret: string;
  readonly previousSecrets: readonly { readonly sealed: string; readonly expires_at: string; readonly signs_header?: true }[];
  readonly sealedHeaders: string | null;
  /** PEM; null: it has none. */
  readonly clientCertificate: string | null;
  readonly sealedClientKey: string | null;
  /** Paths of what its receiver gets; none: the whole payload. */
  readonly fields: readonly string[];
  /** Null: it asks no token server. */
  readonly oauth: StoredOAuth | null;
  readonly sealedOauthSecret: string | null;
  readonly retryPolicy: StoredRetryPolicy;
  readonly rateLimit: number;
  readonly revision: number;
  /** Whether its requests carry an Ed25519 signature of the service. */
  readonly signsEd25519: boolean;
  /** Whether anything may be sent to it. */
  readonly isDeliverable: boolean;
  /** Whether all that would be sent to it is held instead: it is paused. */
  readonly isPaused: boolean;
  /** When the certificate of its receiver ends, in milliseconds since 1970; null unless that is known to be soon. */
  readonly certificateExpiresAtMs: number | null;
}

/** Loads webhooks by id; unknown ids are left out. */
export async function loadWebhooks(pool: Pool, ids: readonly string[]): Promise<StoredWebhook[]> {
  const result = await pool.query<StoredWebhook>({ name: 'load-webhooks', text: statement, values: [textArray(ids)] });
  return result.rows;
}

const statement = `
select id, user_id as "userId", url, secret as "sealedSecret", previous_secrets as "previousSecrets",
  custom_headers as "sealedHeaders", client_certificate as "clientCertificate", client_key as "sealedClientKey",
  fields, oauth, oauth_secret as "sealedOauthSecret",
  retry_policy as "retryPolicy", rate_limit as "rateLimit", revision, signs_ed25519 as "signsEd25519",
  is_active and deleted_at is null as "isDeliverable", ${holdsEverything('w')} as "isPaused",
  (extract(epoch from certificate_expires_at) * 1000)::float8 as "certificateExpiresAtMs"
from webhook_endpoints w where id = any ($1::text[])`;
