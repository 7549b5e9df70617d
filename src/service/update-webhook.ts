// Changes a webhook: what is given replaces, what is absent stays.
import { invalid } from '../domain/errors.ts';
import type { OnFailing, Ordering, OrderingGap, WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { Principal } from '../security/tokens.ts';
import { changeWebhook } from './change-webhook.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';
import { mergeRetryPolicy, type RetryPolicyInput } from './retry-policy-input.ts';
import { checkResets, resetWebhook } from './reset-webhook.ts';
import { type ClientCertificateInput, requireHttps, sealClientCertificate } from './client-certificate.ts';
import { type OAuthInput, requireOneAuthorization, sealOAuth } from './webhook-oauth.ts';
import { ensureServiceKey } from './service-keys.ts';
import { checkEtag } from './webhook-etag.ts';
import { checkFields } from './webhook-fields.ts';
import { checkFilter } from './webhook-filter.ts';
import { sealHeaders } from './webhook-secrets.ts';
import { type WebhookView, webhookView, webhookViewWithHeld } from './webhook-view.ts';

export interface UpdateWebhookInput {
  readonly webhookId: string;
  readonly url: string | undefined;
  /** Empty keeps the list. */
  readonly events: readonly string[];
  readonly description: string | undefined;
  readonly retryPolicy: RetryPolicyInput | undefined;
  readonly isActive: boolean | undefined;
  /** Empty keeps the set. */
  readonly customHeaders: Readonly<Record<string, string>>;
  readonly clearCustomHeaders: boolean;
  readonly rateLimit: number | undefined;
  readonly onFailing: OnFailing | undefined;
  readonly ordering: Ordering | undefined;
  readonly orderingGap: OrderingGap | undefined;
  /** Empty removes it. */
  readonly filter: string | undefined;
  readonly signsEd25519: boolean | undefined;
  readonly clientCertificate: ClientCertificateInput | undefined;
  readonly oauth: OAuthInput | undefined;
  /** Empty keeps the list. */
  readonly fields: readonly string[];
  /** The state that is to be changed; empty for any. */
  readonly etag: string;
  /** Names of what goes back to its default first. */
  readonly reset: readonly string[];
  readonly readOnly: ReadOnly;
}

/** What a caller read and sends back with a change. */
export interface ReadOnly {
  readonly id?: string | undefined;
  readonly userId?: string | undefined;
  readonly scope?: 'user' | 'platform' | undefined;
  readonly secretHint?: string | undefined;
  readonly isPaused?: boolean | undefined;
  readonly createdAt?: Date | undefined;
  readonly updatedAt?: Date | undefined;
  readonly rotationEndsAt?: Date | undefined;
}

/** Disabling cancels what is pending; enabling clears what the service had held against the webhook. */
export async function updateWebhook(
  context: ManagementContext,
  principal: Principal,
  input: UpdateWebhookInput,
): Promise<WebhookView> {
  const url = input.url === undefined ? undefined : context.checkUrl(input.url);
  context.catalogue.checkSubscriptions(input.events);
  checkResets(input.reset);
  checkFields(input.fields);
  await checkNewFilter(context, principal, input);
  if (input.signsEd25519 === true) await ensureServiceKey(context);
  const defaults = context.config.delivery.retry;
  const webhook = await changeWebhook(context, {
    principal,
    webhookId: input.webhookId,
    action: 'updated',
    change: (_, found) => {
      const before = webhookView(found, defaults);
      checkEtag(before, input.etag);
      checkReadOnly(before, input.readOnly);
      resetWebhook(found, input.reset);
      if (url !== undefined) setUrl(found, url);
      if (input.events.length > 0) found.events = [...input.events];
      if (input.description !== undefined) found.description = input.description;
      if (input.rateLimit !== undefined) found.rateLimit = input.rateLimit;
      if (input.onFailing !== undefined) found.onFailing = input.onFailing;
      if (input.ordering !== undefined) found.ordering = input.ordering;
      if (input.orderingGap !== undefined) found.orderingGap = input.orderingGap;
      if (input.filter !== undefined) found.filter = input.filter === '' ? null : input.filter;
      if (input.fields.length > 0) found.fields = [...input.fields];
      if (input.signsEd25519 !== undefined) found.signsEd25519 = input.signsEd25519;
      found.retryPolicy = mergeRetryPolicy(found.retryPolicy, input.retryPolicy, defaults);
      changeHeaders(context, found, input);
      changeCertificate(context, found, input);
      changeOAuth(context, found, input);
      if (input.isActive !== undefined) setActive(found, input.isActive);
      return true;
    },
    view: (_, found) => found,
  });
  // Takes its turn like a change; patient, because each is part of one call.
  if (input.isActive === false)
    await context.changes.run(principal.userId, () => context.endWaiting(webhook.id), { isPatient: true });
  return webhookViewWithHeld(context, webhook);
}

async function checkNewFilter(
  context: ManagementContext,
  principal: Principal,
  { webhookId, filter, events }: Pick<UpdateWebhookInput, 'webhookId' | 'filter' | 'events'>,
): Promise<void> {
  if (filter === undefined || filter === '') return;
  const types =
    events.length > 0 ? events : (await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), webhookId)).events;
  await checkFilter(context, filter, types);
}

function changeHeaders(context: ManagementContext, webhook: WebhookEndpoint, input: UpdateWebhookInput): void {
  const isGiven = Object.keys(input.customHeaders).length > 0;
  if (!isGiven && !input.clearCustomHeaders) return;
  const owner = { userId: webhook.userId, webhookId: webhook.id };
  const { customHeaders, customHeaderNames } = sealHeaders(context.secretBox, owner, input.customHeaders, {
    signatureHeader: context.config.delivery.signatureHeader,
    stored: webhook.customHeaders,
  });
  webhook.customHeaders = customHeaders;
  webhook.customHeaderNames = customHeaderNames;
}

function changeCertificate(
  { secretBox }: Pick<ManagementContext, 'secretBox'>,
  webhook: WebhookEndpoint,
  { clientCertificate }: Pick<UpdateWebhookInput, 'clientCertificate'>,
): void {
  if (clientCertificate !== undefined) {
    const owner = { userId: webhook.userId, webhookId: webhook.id };
    Object.assign(webhook, sealClientCertificate(secretBox, owner, clientCertificate, webhook));
  }
  requireHttps(webhook);
}

function changeOAuth(context: ManagementContext, webhook: WebhookEndpoint, { oauth }: Pick<UpdateWebhookInput, 'oauth'>): void {
  if (oauth !== undefined) {
    const owner = { userId: webhook.userId, webhookId: webhook.id };
    Object.assign(webhook, sealOAuth(context, owner, oauth, webhook));
  }
  requireOneAuthorization(webhook);
}

function checkReadOnly(webhook: WebhookView, given: ReadOnly): void {
  const same = <T extends string>(field: string, current: T, sent: T | undefined): void => {
    if (sent !== undefined && sent !== current) throw invalid('field_invalid', field, `cannot be changed; it is ${current}`);
  };
  const sameMoment = (field: string, current: Date | null, sent: Date | undefined): void => {
    if (sent === undefined || sent.getTime() === current?.getTime()) return;
    throw invalid('field_invalid', field, `cannot be changed; it is ${current?.toISOString() ?? 'not set'}`);
  };
  same('id', webhook.id, given.id);
  same('user_id', webhook.userId, given.userId);
  same('scope', webhook.scope, given.scope);
  same('secret_hint', webhook.secretHint, given.secretHint);
  if (given.isPaused !== undefined && given.isPaused !== webhook.isPaused)
    throw invalid(
      'field_invalid',
      'paused',
      `cannot be changed here; ${given.isPaused ? 'pause' : 'resume'} the webhook instead`,
    );
  sameMoment('created_at', webhook.createdAt, given.createdAt);
  sameMoment('updated_at', webhook.updatedAt, given.updatedAt);
  sameMoment('rotation_ends_at', webhook.rotationEndsAt, given.rotationEndsAt);
}

// What was noted of the certificate is about the receiver at the URL before.
function setUrl(webhook: WebhookEndpoint, url: string): void {
  if (webhook.url !== url) webhook.certificateExpiresAt = null;
  webhook.url = url;
}

// disabled_reason is about the service's own decisions: a caller's needs no explanation, and ends the service's.
function setActive(webhook: WebhookEndpoint, isActive: boolean): void {
  webhook.isActive = isActive;
  // A caller that says whether it is active has decided, so that no probe does.
  webhook.nextProbeAt = null;
  if (!isActive) return;
  webhook.disabledReason = null;
  webhook.disabledAt = null;
  webhook.consecutiveFailures = 0;
  webhook.failingSince = null;
}
