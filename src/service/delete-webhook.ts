// Removes a webhook: its row stays, unseen, because the log of its deliveries stays readable.
import type { Principal } from '../security/tokens.ts';
import { changeWebhook } from './change-webhook.ts';
import type { ManagementContext } from './context.ts';
import { checkEtag } from './webhook-etag.ts';
import { webhookView } from './webhook-view.ts';

/** @param etag the state that is to be deleted; empty for any */
export async function deleteWebhook(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  etag = '',
): Promise<void> {
  await changeWebhook(context, {
    principal,
    webhookId,
    action: 'deleted',
    change: (_, webhook, now) => {
      checkEtag(webhookView(webhook, context.config.delivery.retry), etag);
      webhook.deletedAt = now;
      webhook.isActive = false;
      return true;
    },
    view: () => undefined,
  });
  // Takes its turn like a change; patient, because each is part of one call.
  await context.changes.run(principal.userId, () => context.endWaiting(webhookId), { isPatient: true });
}
