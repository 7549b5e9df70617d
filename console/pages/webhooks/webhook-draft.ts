// What the form holds while a webhook is made or changed, and how it becomes a request.
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type CreateWebhookRequestSchema,
  type OAuth,
  OnFailing,
  Signature,
  type UpdateWebhookRequestSchema,
  type Webhook,
  WebhookScope,
} from '../../../gen/homechef/webhook/v1/webhook_pb.ts';

export interface WebhookDraft {
  readonly url: string;
  readonly events: readonly string[];
  readonly description: string;
  /** Empty: every event of its types. */
  readonly filter: string;
  /** Paths, one a line; empty: the whole payload. */
  readonly fields: string;
  /** As typed; empty follows the service's default. */
  readonly maxRetries: string;
  readonly retryDelay: string;
  readonly timeout: string;
  readonly rateLimit: string;
  readonly headers: readonly HeaderDraft[];
  /** Whether `headers` replaces the stored ones, whose values cannot be read back. */
  readonly replaceHeaders: boolean;
  readonly userId: string;
  readonly platform: boolean;
  /** Whether it is paused, not disabled, once it has failed for too long. */
  readonly holdsOnFailing: boolean;
  /** Whether requests carry an Ed25519 signature beside the HMAC. */
  readonly signsEd25519: boolean;
  /** PEM; empty: none. */
  readonly clientCertificate: string;
  /** PEM; empty keeps the stored one. */
  readonly clientKey: string;
  readonly oauth: OAuthDraft;
}

/** Without a token URL: none. */
export interface OAuthDraft {
  readonly tokenUrl: string;
  readonly clientId: string;
  /** Empty keeps the stored one. */
  readonly clientSecret: string;
  readonly scope: string;
  readonly audience: string;
}

export interface HeaderDraft {
  readonly name: string;
  readonly value: string;
}

const noOAuth: OAuthDraft = { tokenUrl: '', clientId: '', clientSecret: '', scope: '', audience: '' };

export const emptyDraft: WebhookDraft = {
  url: '',
  events: [],
  description: '',
  filter: '',
  fields: '',
  maxRetries: '',
  retryDelay: '',
  timeout: '',
  rateLimit: '',
  headers: [],
  replaceHeaders: true,
  userId: '',
  platform: false,
  holdsOnFailing: false,
  signsEd25519: false,
  clientCertificate: '',
  clientKey: '',
  oauth: noOAuth,
};

export function draftOf(webhook: Webhook): WebhookDraft {
  return {
    ...emptyDraft,
    url: webhook.url,
    events: webhook.events,
    description: webhook.description,
    filter: webhook.filter,
    fields: webhook.fields.join('\n'),
    maxRetries: text(webhook.retryPolicy?.maxRetries),
    retryDelay: text(webhook.retryPolicy?.retryDelay),
    timeout: text(webhook.retryPolicy?.timeout),
    rateLimit: webhook.rateLimit === 0 ? '' : String(webhook.rateLimit),
    holdsOnFailing: webhook.onFailing === OnFailing.HOLD,
    clientCertificate: webhook.clientCertificate?.certificate ?? '',
    oauth: webhook.oauth === undefined ? noOAuth : oauthOf(webhook.oauth),
    signsEd25519: webhook.signatures.includes(Signature.ED25519),
    replaceHeaders: Object.keys(webhook.customHeaders).length === 0,
  };
}

export function toCreate(draft: WebhookDraft): MessageInitShape<typeof CreateWebhookRequestSchema> {
  return {
    url: draft.url,
    events: [...draft.events],
    description: draft.description,
    filter: draft.filter.trim(),
    fields: pathsIn(draft.fields),
    retryPolicy: retryPolicy(draft),
    customHeaders: headers(draft),
    rateLimit: number(draft.rateLimit) ?? 0,
    onFailing: onFailing(draft),
    signatures: signatures(draft),
    ...(draft.clientCertificate.trim() === '' ? {} : { clientCertificate: clientCertificate(draft) }),
    ...(draft.oauth.tokenUrl.trim() === '' ? {} : { oauth: typedOAuth(draft) }),
    userId: draft.userId.trim(),
    scope: draft.platform ? WebhookScope.PLATFORM : WebhookScope.UNSPECIFIED,
  };
}

/** Only what differs from the stored webhook, so that two people editing different fields do not undo each other. */
export function toUpdate(webhook: Webhook, draft: WebhookDraft): MessageInitShape<typeof UpdateWebhookRequestSchema> {
  const before = draftOf(webhook);
  const policyChanged =
    draft.maxRetries !== before.maxRetries || draft.retryDelay !== before.retryDelay || draft.timeout !== before.timeout;
  const sent = headers(draft);
  return {
    webhookId: webhook.id,
    ...(draft.url === before.url ? {} : { url: draft.url }),
    ...(same(draft.events, before.events) ? {} : { events: [...draft.events] }),
    ...(draft.description === before.description ? {} : { description: draft.description }),
    ...(draft.filter.trim() === before.filter ? {} : { filter: draft.filter.trim() }),
    ...(same(pathsIn(draft.fields), webhook.fields) ? {} : { fields: pathsIn(draft.fields) }),
    ...(policyChanged ? { retryPolicy: retryPolicy(draft) } : {}),
    ...(draft.rateLimit === before.rateLimit ? {} : { rateLimit: number(draft.rateLimit) ?? 0 }),
    ...(draft.holdsOnFailing === before.holdsOnFailing ? {} : { onFailing: onFailing(draft) }),
    ...(draft.signsEd25519 === before.signsEd25519 ? {} : { signatures: signatures(draft) }),
    ...resets(before, draft),
    ...certificateChange(before, draft),
    ...oauthChange(before, draft),
    ...(draft.replaceHeaders && Object.keys(sent).length > 0 ? { customHeaders: sent } : {}),
    clearCustomHeaders: draft.replaceHeaders && Object.keys(sent).length === 0 && Object.keys(webhook.customHeaders).length > 0,
  };
}

function pathsIn(lines: string): string[] {
  return lines
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

function onFailing(draft: WebhookDraft): OnFailing {
  return draft.holdsOnFailing ? OnFailing.HOLD : OnFailing.DISABLE;
}

function clientCertificate({ clientCertificate: certificate, clientKey: key }: WebhookDraft) {
  return { certificate: certificate.trim(), key: key.trim() };
}

function certificateChange(before: WebhookDraft, draft: WebhookDraft) {
  if (draft.clientCertificate.trim() === before.clientCertificate.trim() && draft.clientKey.trim() === '') return {};
  return draft.clientCertificate.trim() === '' ? {} : { clientCertificate: clientCertificate(draft) };
}

function oauthOf({ tokenUrl, clientId, scope, audience }: OAuth): OAuthDraft {
  return { tokenUrl, clientId, clientSecret: '', scope, audience };
}

function typedOAuth({ oauth: { tokenUrl, clientId, clientSecret, scope, audience } }: WebhookDraft): OAuthDraft {
  return { tokenUrl: tokenUrl.trim(), clientId: clientId.trim(), clientSecret, scope: scope.trim(), audience: audience.trim() };
}

function oauthChange(before: WebhookDraft, draft: WebhookDraft) {
  const typed = typedOAuth(draft);
  if (typed.tokenUrl === '' || JSON.stringify(typed) === JSON.stringify(before.oauth)) return {};
  return { oauth: typed };
}

/** What was stored and is there no longer. */
function resets(before: WebhookDraft, draft: WebhookDraft): { readonly reset?: string[] } {
  const reset = [
    ...(before.clientCertificate !== '' && draft.clientCertificate.trim() === '' ? ['client_certificate'] : []),
    ...(before.oauth.tokenUrl !== '' && draft.oauth.tokenUrl.trim() === '' ? ['oauth'] : []),
    ...(before.fields !== '' && pathsIn(draft.fields).length === 0 ? ['fields'] : []),
  ];
  return reset.length === 0 ? {} : { reset };
}

function signatures(draft: WebhookDraft): Signature[] {
  return draft.signsEd25519 ? [Signature.HMAC, Signature.ED25519] : [Signature.HMAC];
}

function retryPolicy(draft: WebhookDraft) {
  const maxRetries = number(draft.maxRetries);
  const retryDelay = number(draft.retryDelay);
  const timeout = number(draft.timeout);
  return {
    ...(maxRetries === undefined ? {} : { maxRetries }),
    ...(retryDelay === undefined ? {} : { retryDelay }),
    ...(timeout === undefined ? {} : { timeout }),
  };
}

function headers(draft: WebhookDraft): Record<string, string> {
  return Object.fromEntries(
    draft.headers.filter((header) => header.name.trim() !== '').map((header) => [header.name.trim(), header.value]),
  );
}

function number(typed: string): number | undefined {
  return typed.trim() === '' ? undefined : Number(typed);
}

function text(value: number | undefined): string {
  return value === undefined ? '' : String(value);
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}
