// Gives a webhook a new signing secret, while the earlier ones go on signing for a day.
import { entityManagerOf } from '../persistence/orm.ts';
import { MAX_SIGNATURES } from '../security/signature.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';
import { makeSecret } from './webhook-secrets.ts';
import { type WebhookView, webhookView } from './webhook-view.ts';

/** Time for the owner to deploy the new secret, counted from the rotation that replaced the old one. */
const OVERLAP_MS = 86_400_000;

export async function rotateSecret(context: ManagementContext, principal: Principal, webhookId: string): Promise<WebhookView> {
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  const rotated = await context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      const webhook = await findWebhook(transaction, webhookId, { lock: true });
      const made = makeSecret(context.secretBox, { userId: webhook.userId, webhookId: webhook.id });
      const now = Date.now();
      const unexpired = webhook.previousSecrets.filter((previous) => Date.parse(previous.expires_at) > now);
      const replaced = { sealed: webhook.secret, expires_at: new Date(now + OVERLAP_MS).toISOString() };
      // Beyond what one header carries, the oldest goes early.
      webhook.previousSecrets = [replaced, ...unexpired].slice(0, MAX_SIGNATURES - 1);
      webhook.secret = made.sealed;
      webhook.secretHint = made.hint;
      webhook.revision += 1;
      webhook.updatedAt = new Date(now);
      await transaction.flush();
      return { webhook, secret: made.secret };
    }),
  );
  context.onWebhookChanged(webhookId);
  return webhookView(rotated.webhook, context.config.delivery.retry, rotated.secret);
}
