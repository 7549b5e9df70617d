// The one request that gets an access token: client credentials (RFC 6749, 4.4), over the same guarded way out as deliveries.
import { type AccessToken, accessTokenIn, refusalIn } from '../domain/access-token.ts';
import { attemptErrors, hasBegun, type NotBegun, type Outcome } from '../domain/delivery.ts';
import { headerLines } from '../outbound/header-lines.ts';
import type { HttpClient } from '../outbound/http-client.ts';
import type { OAuthClient } from './oauth-client.ts';

/** ms. A token server that takes longer fails the attempt: it has the same deadline, and a diagnosis waits for both. */
const TOKEN_TIMEOUT_MS = 5000;
/** Refusals that say nothing about the client: asked again later, the server may answer otherwise (RFC 9110, 15.5.9 and RFC 6585, 4). */
const PASSING = new Set([408, 425, 429]);

export interface TokenRequestOptions {
  readonly client: Pick<HttpClient, 'post'>;
  readonly userAgent: string;
  /** Aborts what is in flight when the grace of a shutdown is over. */
  readonly signal: AbortSignal;
}

/** A token, or the outcome of the attempt that wanted one. */
export type TokenAnswer = AccessToken | Outcome | NotBegun;

export interface TokenRequest {
  readonly oauth: OAuthClient;
  /** Whose webhook it is for: where sockets are short, tenants are served in turn. */
  readonly tenant: string;
  /** ms. Of the attempt. */
  readonly timeoutMs: number;
}

/** Asks a token server once. Never rejects. */
export type AskForToken = (request: TokenRequest) => Promise<TokenAnswer>;

export function createTokenRequest({ client, userAgent, signal }: TokenRequestOptions): AskForToken {
  return async ({ oauth, tenant, timeoutMs }) => {
    const outcome = await client.post({
      url: oauth.tokenUrl,
      headers: headerLines({
        authorization: basic(oauth),
        accept: 'application/json',
        'content-type': 'application/x-www-form-urlencoded',
        'user-agent': userAgent,
      }),
      body: Buffer.from(formOf(oauth)),
      timeoutMs: Math.min(timeoutMs, TOKEN_TIMEOUT_MS),
      tenant,
      signal,
    });
    return hasBegun(outcome) ? answerOf(outcome, oauth) : outcome;
  };
}

function answerOf(outcome: Outcome, { clientSecret }: OAuthClient): AccessToken | Outcome {
  const { error, httpStatus, response } = outcome;
  if (error === 'shutdown') return { ...outcome, transcript: null };
  if (error === null) {
    const token = outcome.responseTruncated ? null : accessTokenIn(response ?? '');
    return token ?? without(outcome, 'oauth_token_unavailable', 'Its answer holds no bearer token.');
  }
  if (error !== 'http_status' || httpStatus === null) return without(outcome, 'oauth_token_unavailable', attemptErrors[error]);
  const reason = refusalIn(response ?? '', clientSecret);
  const detail = `It answered ${httpStatus}${reason === '' ? '' : ` ${reason}`}.`;
  const isRefused = httpStatus >= 400 && httpStatus < 500 && !PASSING.has(httpStatus);
  return without(outcome, isRefused ? 'oauth_token_refused' : 'oauth_token_unavailable', detail);
}

// The receiver has answered nothing, so nothing of the token server's answer counts as its own: above all no status, and no token in it. Its headers and its
// address are those of another server.
function without(outcome: Outcome, error: 'oauth_token_refused' | 'oauth_token_unavailable', detail: string): Outcome {
  const nothing = { httpStatus: null, response: null, responseTruncated: false, responseOddity: null, transcript: null };
  return { ...outcome, ...nothing, error, detail };
}

// Name and secret are encoded before they are joined (RFC 6749, 2.3.1), so that neither a colon nor a letter beyond Latin-1 breaks them.
function basic({ clientId, clientSecret }: OAuthClient): string {
  const encoded = [clientId, clientSecret].map((text) => new URLSearchParams([['', text]]).toString().slice(1)).join(':');
  return `Basic ${Buffer.from(encoded).toString('base64')}`;
}

function formOf({ scope, audience }: OAuthClient): string {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  if (scope !== '') form.set('scope', scope);
  if (audience !== '') form.set('audience', audience);
  return form.toString();
}
