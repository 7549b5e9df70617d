// Gives a webhook a new signing secret, while the earlier ones go on signing for a while; or ends that while early, either way.
import { HOUR_MS } from '../domain/time-units.ts';
import { ServiceError } from '../domain/errors.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import type { Principal } from '../security/tokens.ts';
import { changeWebhook, type WebhookChange } from './change-webhook.ts';
import type { ManagementContext } from './context.ts';
import type { Once } from './idempotent-call.ts';
import { replaced, unexpired } from './secret-rotation.ts';
import { makeSecret, secretHint } from './webhook-secrets.ts';
import { type WebhookView, webhookView } from './webhook-view.ts';

/** Time for the owner to deploy the new secret when the call names none, in hours. */
const USUAL_OVERLAP_HOURS = 24;

/** @param overlapHours for how long the secret from before goes on signing; 0 takes it out of use at once, as for one that leaked */
export function rotateSecret(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  overlapHours: number = USUAL_OVERLAP_HOURS,
  once: Once<WebhookView> | null = null,
): Promise<WebhookView> {
  return changeSecrets(context, { principal, webhookId, action: 'secret_rotated', once }, (webhook, now) => {
    const made = makeSecret(context.secretBox, { userId: webhook.userId, webhookId: webhook.id });
    webhook.previousSecrets = replaced(webhook, overlapHours * HOUR_MS, now.getTime());
    webhook.secret = made.sealed;
    webhook.secretHint = made.hint;
    return made.secret;
  });
}

/** Only the newest secret signs from now on. */
export function completeRotation(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  once: Once<WebhookView> | null = null,
): Promise<WebhookView> {
  return changeSecrets(context, { principal, webhookId, action: 'rotation_completed', once }, (webhook) => {
    webhook.previousSecrets = [];
    return null;
  });
}

/** The secret from before the last rotation is the newest again. Throws `rotation_not_running` when its overlap is over. */
export function cancelRotation(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  once: Once<WebhookView> | null = null,
): Promise<WebhookView> {
  return changeSecrets(context, { principal, webhookId, action: 'rotation_cancelled', once }, (webhook, now) => {
    const [before, ...earlier] = unexpired(webhook.previousSecrets, now.getTime());
    if (before === undefined) {
      throw new ServiceError(
        'rotation_not_running',
        'No rotation of this webhook is under way, so there is no earlier secret to go back to.',
      );
    }
    webhook.secret = before.sealed;
    webhook.secretHint = secretHint(context.secretBox, { userId: webhook.userId, webhookId: webhook.id }, before.sealed);
    webhook.previousSecrets = earlier;
    return null;
  });
}

/** @param change returns the secret to show, where there is a new one */
function changeSecrets(
  context: ManagementContext,
  call: Pick<WebhookChange<WebhookView>, 'principal' | 'webhookId' | 'action' | 'once'>,
  change: (webhook: WebhookEndpoint, now: Date) => string | null,
): Promise<WebhookView> {
  let secret: string | null = null;
  return changeWebhook(context, {
    ...call,
    change: (_, webhook, now) => {
      secret = change(webhook, now);
      return true;
    },
    view: (_, webhook) => webhookView(webhook, context.config.delivery.retry, secret),
  });
}
