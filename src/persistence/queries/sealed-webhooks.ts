// What webhooks keep sealed, for the change of keys: read in pages, written back only over what was read.
import type { Pool } from 'pg';
import type { PreviousSecret } from '../entities/webhook-endpoint.ts';

export interface SealedWebhook {
  readonly id: string;
  readonly userId: string;
  readonly secret: string;
  readonly previousSecrets: readonly PreviousSecret[];
  readonly customHeaders: string | null;
  readonly clientKey: string | null;
  readonly oauthSecret: string | null;
}

/** In the order of their ids, deleted ones too: their rows hold secrets all the same. */
export async function listSealedWebhooks(pool: Pool, afterId: string, limit: number): Promise<SealedWebhook[]> {
  const { rows } = await pool.query<SealedWebhook>(
    `select id, user_id as "userId", secret, previous_secrets as "previousSecrets", custom_headers as "customHeaders",
       client_key as "clientKey", oauth_secret as "oauthSecret"
     from webhook_endpoints where id > $1 order by id limit $2`,
    [afterId, limit],
  );
  return rows;
}

/** False when the row was changed since it was read. The revision grows, so that processes open it anew. */
export async function replaceSealed(pool: Pool, read: SealedWebhook, sealed: SealedWebhook): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update webhook_endpoints set secret = $2, previous_secrets = $3, custom_headers = $4, client_key = $8, oauth_secret = $10,
       revision = revision + 1
     where id = $1 and secret = $5 and previous_secrets = $6::jsonb and custom_headers is not distinct from $7
       and client_key is not distinct from $9 and oauth_secret is not distinct from $11`,
    [
      read.id,
      sealed.secret,
      JSON.stringify(sealed.previousSecrets),
      sealed.customHeaders,
      read.secret,
      JSON.stringify(read.previousSecrets),
      read.customHeaders,
      sealed.clientKey,
      read.clientKey,
      sealed.oauthSecret,
      read.oauthSecret,
    ],
  );
  return rowCount === 1;
}

/** How many webhooks use something sealed under each key. The key's id is the second part of a sealed text. */
export async function countWebhooksByKey(pool: Pool): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ keyId: string; webhooks: number }>(
    `select split_part(sealed, ':', 2) as "keyId", count(distinct id)::integer as webhooks
     from (
       select id, secret as sealed from webhook_endpoints
       union all select id, custom_headers from webhook_endpoints where custom_headers is not null
       union all select id, client_key from webhook_endpoints where client_key is not null
       union all select id, oauth_secret from webhook_endpoints where oauth_secret is not null
       union all select id, previous ->> 'sealed' from webhook_endpoints, jsonb_array_elements(previous_secrets) as previous
       union all select webhook_endpoints.id, private_key from webhook_endpoints, service_keys
         where signs_ed25519 and (signs_until is null or signs_until > now())
     ) as everything group by 1 order by 1`,
  );
  return new Map(rows.map(({ keyId, webhooks }) => [keyId, webhooks]));
}
