// Removes a webhook: its row stays, unseen, because the log of its deliveries stays readable.
import { entityManagerOf } from '../persistence/orm.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';
import { checkEtag } from './webhook-etag.ts';
import { webhookView } from './webhook-view.ts';

/** @param etag the state that is to be deleted; empty for any */
export async function deleteWebhook(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  etag = '',
): Promise<void> {
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  await context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      const webhook = await findWebhook(transaction, webhookId, { lock: true });
      checkEtag(webhookView(webhook, context.config.delivery.retry), etag);
      const now = new Date();
      webhook.deletedAt = now;
      webhook.isActive = false;
      webhook.updatedAt = now;
      webhook.revision += 1;
      await transaction.flush();
    }),
  );
  context.onWebhookChanged(webhookId);
  // Takes its turn like a change; patient, because each is part of one call.
  await context.changes.run(principal.userId, () => context.endWaiting(webhookId), { isPatient: true });
}
