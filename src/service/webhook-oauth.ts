// How a webhook gets access tokens for its receiver: checked when it is written, the secret sealed and never shown again.
import { invalid, ServiceError } from '../domain/errors.ts';
import type { StoredOAuth, WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import type { Owner } from '../security/secret-box.ts';
import { redactText } from '../telemetry/redact.ts';
import type { ManagementContext } from './context.ts';

const TOKEN_URL = 'oauth.token_url';

export interface OAuthInput {
  readonly tokenUrl: string;
  readonly clientId: string;
  /** Empty keeps the stored one, for the stored client at the stored token URL alone. */
  readonly clientSecret: string;
  readonly scope: string;
  readonly audience: string;
}

type Stored = Pick<WebhookEndpoint, 'oauth' | 'oauthSecret'>;

export const noOAuth = { oauth: null, oauthSecret: null } as const;

/**
 * Checks and seals the client of a webhook. Throws `endpoint_url_invalid`, `endpoint_url_forbidden` and `field_invalid`.
 * @param stored what the webhook has now
 */
export function sealOAuth(
  { secretBox, checkUrl }: Pick<ManagementContext, 'secretBox' | 'checkUrl'>,
  owner: Owner,
  input: OAuthInput,
  stored: Stored = noOAuth,
): Stored {
  const oauth = {
    token_url: checkTokenUrl(checkUrl, input.tokenUrl),
    client_id: input.clientId,
    scope: input.scope,
    audience: input.audience,
  };
  if (input.clientSecret !== '') return { oauth, oauthSecret: secretBox.seal('oauth_secret', owner, input.clientSecret) };
  // Kept for another token URL or client, the secret would go to a server that it was not written for.
  const isSameClient = stored.oauth?.token_url === oauth.token_url && stored.oauth.client_id === oauth.client_id;
  if (!isSameClient || stored.oauthSecret == null)
    throw invalid(
      'field_invalid',
      'oauth.client_secret',
      'is missing: a new client, or a new token URL, comes with its secret',
    );
  return { oauth, oauthSecret: stored.oauthSecret };
}

/** Of a stored client, as answers show it. */
export function shownOAuth({
  token_url: tokenUrl,
  client_id: clientId,
  scope,
  audience,
}: StoredOAuth): Omit<OAuthInput, 'clientSecret'> {
  return { tokenUrl, clientId, scope, audience };
}

/** Of a stored client, as the history shows it. */
export function describeOAuth({ token_url: tokenUrl, client_id: clientId, scope, audience }: StoredOAuth): string {
  const extras = [scope === '' ? '' : `, scope ${scope}`, audience === '' ? '' : `, audience ${audience}`];
  return redactText(`${clientId} at ${tokenUrl}${extras.join('')}`);
}

/** Throws `header_forbidden`: a request has one `Authorization`. */
export function requireOneAuthorization({
  oauth,
  customHeaderNames,
}: Pick<WebhookEndpoint, 'oauth' | 'customHeaderNames'>): void {
  const name = oauth == null ? undefined : customHeaderNames.find((given) => given.toLowerCase() === 'authorization');
  if (name === undefined) return;
  throw invalid('header_forbidden', `custom_headers["${name}"]`, 'is set by the service while the webhook has oauth');
}

// The check of webhook URLs, which names the field of theirs.
function checkTokenUrl(checkUrl: ManagementContext['checkUrl'], text: string): string {
  try {
    return checkUrl(text);
  } catch (error) {
    const [violation] = error instanceof ServiceError ? error.violations : [];
    if (!(error instanceof ServiceError) || violation === undefined) throw error;
    throw invalid(error.reason, TOKEN_URL, violation.message);
  }
}
