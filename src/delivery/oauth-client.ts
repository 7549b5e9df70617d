// What a webhook shows to the token server of its receiver, opened.
import { createHash } from 'node:crypto';
import type { StoredWebhook } from '../persistence/queries/load-webhooks.ts';

export interface OAuthClient {
  /** Differs whenever one of the others does: a token that was got with other settings is not used. */
  readonly id: string;
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Scopes with spaces between them; empty: those that the server gives by itself. */
  readonly scope: string;
  /** Whom the token is for, where the server wants to know; empty: not sent. */
  readonly audience: string;
}

export function oauthClient(stored: NonNullable<StoredWebhook['oauth']>, clientSecret: string): OAuthClient {
  const { token_url: tokenUrl, client_id: clientId, scope, audience } = stored;
  const id = createHash('sha256')
    .update(JSON.stringify([tokenUrl, clientId, clientSecret, scope, audience]))
    .digest('base64url');
  return { id, tokenUrl, clientId, clientSecret, scope, audience };
}
