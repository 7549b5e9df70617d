// Registers a webhook.
import { ServiceError } from '../domain/errors.ts';
import { newId } from '../domain/ids.ts';
import { Hold } from '../persistence/delivery-state.ts';
import { type OnFailing, type Ordering, type OrderingGap, WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { insertWebhookChange } from '../persistence/queries/webhook-changes.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import type { Once } from './idempotent-call.ts';
import { newOwnerId } from './owner.ts';
import { mergeRetryPolicy, type RetryPolicyInput } from './retry-policy-input.ts';
import { firstFields } from './webhook-changes.ts';
import { checkFields } from './webhook-fields.ts';
import { checkFilter } from './webhook-filter.ts';
import { type ClientCertificateInput, noClientCertificate, requireHttps, sealClientCertificate } from './client-certificate.ts';
import { noOAuth, type OAuthInput, requireOneAuthorization, sealOAuth } from './webhook-oauth.ts';
import { ensureServiceKey } from './service-keys.ts';
import { makeSecret, sealHeaders } from './webhook-secrets.ts';
import { type WebhookView, webhookView } from './webhook-view.ts';

export interface CreateWebhookInput {
  readonly url: string;
  readonly events: readonly string[];
  readonly description: string;
  readonly retryPolicy: RetryPolicyInput | undefined;
  /** Empty: the caller's own. */
  readonly userId: string;
  readonly scope: 'user' | 'platform';
  readonly customHeaders: Readonly<Record<string, string>>;
  readonly rateLimit: number;
  /** Whether its deliveries are held from the start. */
  readonly isPaused: boolean;
  /** What becomes of it once it has failed for too long. */
  readonly onFailing: OnFailing;
  readonly ordering: Ordering;
  readonly orderingGap: OrderingGap;
  /** Empty: it gets every event of its types. */
  readonly filter: string;
  /** Whether its requests carry an Ed25519 signature of the service beside the HMAC. */
  readonly signsEd25519: boolean;
  /** What it shows to a receiver that asks for a client certificate; null: nothing. */
  readonly clientCertificate: ClientCertificateInput | null;
  /** Where it gets access tokens for its receiver; null: nowhere. */
  readonly oauth: OAuthInput | null;
  /** Paths of what its receiver gets; none: the whole payload. */
  readonly fields: readonly string[];
}

/**
 * The answer is the only one, with a rotation's, that carries the secret.
 * @param once when the caller may repeat the call
 */
export async function createWebhook(
  context: ManagementContext,
  principal: Principal,
  input: CreateWebhookInput,
  once: Once<WebhookView> | null = null,
): Promise<WebhookView> {
  const userId = newOwnerId(principal, input.userId);
  if (input.scope === 'platform' && principal.role !== 'admin') {
    throw new ServiceError('role_not_allowed', 'Only admins create webhooks with scope platform.');
  }
  const url = context.checkUrl(input.url);
  context.catalogue.checkSubscriptions(input.events);
  await checkFilter(context, input.filter, input.events);
  checkFields(input.fields);
  if (input.signsEd25519) await ensureServiceKey(context);
  const now = new Date();
  const id = newId('webhook', now.getTime());
  const owner = { userId, webhookId: id };
  const headers = sealHeaders(context.secretBox, owner, input.customHeaders, {
    signatureHeader: context.config.delivery.signatureHeader,
  });
  const { clientCertificate } = input;
  const certificate =
    clientCertificate === null ? noClientCertificate : sealClientCertificate(context.secretBox, owner, clientCertificate);
  requireHttps({ url, ...certificate });
  const oauth = input.oauth === null ? noOAuth : sealOAuth(context, owner, input.oauth);
  requireOneAuthorization({ ...oauth, ...headers });
  const secret = makeSecret(context.secretBox, owner);

  const manager = entityManagerOf(context.orm, { userId });
  const view = await context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      // One at a time per user: two that both see room for one more would both take it.
      await transaction.execute(`select pg_advisory_xact_lock(hashtextextended('webhooks of ' || ?, 0))`, [userId]);
      const count = await transaction.count(WebhookEndpoint, { deletedAt: null });
      if (count >= context.config.maxWebhooksPerUser) {
        const message = `A user may have ${context.config.maxWebhooksPerUser} webhooks; delete one first.`;
        throw new ServiceError('webhook_limit_reached', message);
      }
      const created = transaction.create(WebhookEndpoint, {
        id,
        userId,
        url,
        events: [...input.events],
        secret: secret.sealed,
        secretHint: secret.hint,
        previousSecrets: [],
        description: input.description,
        retryPolicy: mergeRetryPolicy({}, input.retryPolicy, null),
        scope: input.scope,
        ...headers,
        ...certificate,
        ...oauth,
        fields: [...input.fields],
        rateLimit: input.rateLimit,
        onFailing: input.onFailing,
        ordering: input.ordering,
        orderingGap: input.orderingGap,
        filter: input.filter === '' ? null : input.filter,
        signsEd25519: input.signsEd25519,
        hold: input.isPaused ? Hold.paused : Hold.none,
        createdAt: now,
        updatedAt: now,
      });
      await transaction.persist(created).flush();
      const fields = firstFields(created);
      await insertWebhookChange(transaction, { webhookId: id, byUser: principal.userId, action: 'created', fields });
      const made = webhookView(created, context.config.delivery.retry, secret.secret);
      await once?.keep(transaction, made);
      return made;
    }),
  );
  context.onWebhookChanged(id);
  return view;
}
