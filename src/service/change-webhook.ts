// A change of one webhook, made under its lock: idempotent, counted by a new revision, and announced after its commit.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import type { Once } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';
import type { WebhookView } from './webhook-view.ts';

export interface WebhookChange {
  readonly principal: Principal;
  readonly webhookId: string;
  /** When the caller may repeat the call. */
  readonly once: Once<WebhookView> | null;
  /** Changes the locked webhook. False: there was nothing to change. */
  readonly change: (transaction: EntityManager, webhook: WebhookEndpoint, now: Date) => boolean | Promise<boolean>;
  /** What the caller gets, read in the same transaction. */
  readonly view: (transaction: EntityManager, webhook: WebhookEndpoint) => WebhookView | Promise<WebhookView>;
}

export async function changeWebhook(
  context: ManagementContext,
  { principal, webhookId, once, change, view }: WebhookChange,
): Promise<WebhookView> {
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  const { changed, isChanged } = await context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      const webhook = await findWebhook(transaction, webhookId, { lock: true });
      const now = new Date();
      const hasChanged = await change(transaction, webhook, now);
      if (hasChanged) {
        webhook.revision += 1;
        webhook.updatedAt = now;
        await transaction.flush();
      }
      const result = await view(transaction, webhook);
      await once?.keep(transaction, result);
      return { changed: result, isChanged: hasChanged };
    }),
  );
  if (isChanged) context.onWebhookChanged(webhookId);
  return changed;
}
