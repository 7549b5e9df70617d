// Pauses and resumes a webhook: what it would get is held meanwhile, and then sent at a pace.
import type { EntityManager } from '@mikro-orm/postgresql';
import { newId } from '../domain/ids.ts';
import { rateOf } from '../domain/release-rate.ts';
import { Hold } from '../persistence/delivery-state.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { countHeldIn } from '../persistence/queries/count-held.ts';
import { cancelResume, insertResume, setReleaseRate } from '../persistence/queries/resume-release.ts';
import type { Principal } from '../security/tokens.ts';
import { changeWebhook, type WebhookChange } from './change-webhook.ts';
import type { ManagementContext } from './context.ts';
import type { Once } from './idempotent-call.ts';
import { type WebhookView, webhookView } from './webhook-view.ts';

/**
 * From its commit on new deliveries are held; what is scheduled the leader moves into the hold. Calling it again changes nothing. A release that
 * drains the hold ends: what it has not made due stays held.
 */
export function pauseWebhook(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  once: Once<WebhookView> | null = null,
): Promise<WebhookView> {
  return changeHold(context, { principal, webhookId, action: 'paused', once }, async (transaction, webhook) => {
    if (webhook.hold === Hold.paused) return takePauseOver(webhook);
    if (webhook.releaseId != null) await cancelResume(transaction, webhook.releaseId, 'webhook_paused');
    webhook.hold = Hold.paused;
    webhook.isGathering = true;
    webhook.releaseId = null;
    return true;
  });
}

/**
 * Makes a release of what is held. Called while one runs, it sets that one's rate; of a webhook that is not paused it changes nothing.
 * @param rate deliveries a second; null for the webhook's own, or the usual
 */
export function resumeWebhook(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  rate: number | null,
  once: Once<WebhookView> | null = null,
): Promise<WebhookView> {
  return changeHold(context, { principal, webhookId, action: 'resumed', once }, async (transaction, webhook) => {
    if (webhook.releaseId != null && rate !== null) await setReleaseRate(transaction, webhook.releaseId, rate);
    if (webhook.hold !== Hold.paused) return false;
    if (webhook.pausedReason != null) forgetFailures(webhook);
    // Of a disabled webhook nothing is held: what it had was cancelled.
    if (!webhook.isActive) {
      webhook.hold = Hold.none;
      webhook.isGathering = false;
      return true;
    }
    const id = newId('release', Date.now());
    await insertResume(transaction, { id, webhookId, userId: webhook.userId, rate: rateOf(rate ?? null, webhook.rateLimit) });
    webhook.hold = Hold.releasing;
    // Once more, for what was under way when it was paused and is to be tried again since.
    webhook.isGathering = true;
    webhook.releaseId = id;
    return true;
  });
}

/** What the service has paused for failing is paused by its owner from now on: no probe resumes it. */
function takePauseOver(webhook: WebhookEndpoint): boolean {
  if (webhook.pausedReason == null) return false;
  webhook.pausedReason = null;
  webhook.pausedAt = null;
  webhook.nextProbeAt = null;
  return true;
}

// The service paused it for them: counted on, they would have it paused again at the next one.
function forgetFailures(webhook: WebhookEndpoint): void {
  webhook.pausedReason = null;
  webhook.pausedAt = null;
  webhook.consecutiveFailures = 0;
  webhook.failingSince = null;
  webhook.nextProbeAt = null;
}

function changeHold(
  context: ManagementContext,
  call: Pick<WebhookChange<WebhookView>, 'principal' | 'webhookId' | 'action' | 'once'>,
  change: (transaction: EntityManager, webhook: WebhookEndpoint) => Promise<boolean>,
): Promise<WebhookView> {
  return changeWebhook(context, {
    ...call,
    // The webhook is locked before its release, here and by the leader.
    change,
    view: async (transaction, webhook) => ({
      ...webhookView(webhook, context.config.delivery.retry),
      ...(webhook.hold === Hold.none ? {} : await countHeldIn(transaction, webhook.id)),
    }),
  });
}
