// The signing secrets of a webhook, for its owner: one that was lost need not be rotated.
import { entityManagerOf } from '../persistence/orm.ts';
import { noteSecretRead } from '../persistence/queries/webhook-changes.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';
import { unexpired } from './secret-rotation.ts';

export interface ShownSecrets {
  readonly secret: string;
  /** Newest first. */
  readonly previous: readonly { readonly secret: string; readonly expiresAt: Date }[];
}

/** Plain text. That it was read is logged and kept in the webhook's history, with who read it, before anything is shown. */
export async function getSecret(context: ManagementContext, principal: Principal, webhookId: string): Promise<ShownSecrets> {
  const webhook = await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), webhookId);
  const owner = { userId: webhook.userId, webhookId: webhook.id };
  await noteSecretRead(context.pool, webhookId, principal.userId);
  const open = (sealed: string): string => context.secretBox.open('signing_secret', owner, sealed);
  context.log.info({ webhook_id: webhookId, user: principal.userId }, 'the signing secret of a webhook was read');
  return {
    secret: open(webhook.secret),
    previous: unexpired(webhook.previousSecrets, Date.now()).map(({ sealed, expires_at }) => ({
      secret: open(sealed),
      expiresAt: new Date(expires_at),
    })),
  };
}
