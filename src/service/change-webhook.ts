// A change of one webhook, made under its lock: idempotent, counted by a new revision, kept in its history, and announced after its commit.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { WebhookAction } from '../domain/webhook-change.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { insertWebhookChange } from '../persistence/queries/webhook-changes.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import type { Once } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';
import { changedFields, snapshotOf } from './webhook-changes.ts';

export interface WebhookChange<Result> {
  readonly principal: Principal;
  readonly webhookId: string;
  /** As its history names the change. */
  readonly action: WebhookAction;
  /** When the caller may repeat the call. */
  readonly once?: Once<Result> | null;
  /** Changes the locked webhook. False: there was nothing to change. */
  readonly change: (transaction: EntityManager, webhook: WebhookEndpoint, now: Date) => boolean | Promise<boolean>;
  /** What the caller gets, read in the same transaction. */
  readonly view: (transaction: EntityManager, webhook: WebhookEndpoint) => Result | Promise<Result>;
}

export async function changeWebhook<Result>(
  context: ManagementContext,
  { principal, webhookId, action, once = null, change, view }: WebhookChange<Result>,
): Promise<Result> {
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  const { changed, isChanged } = await context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      const webhook = await findWebhook(transaction, webhookId, { lock: true });
      const before = snapshotOf(webhook);
      const now = new Date();
      const hasChanged = await change(transaction, webhook, now);
      if (hasChanged) {
        webhook.revision += 1;
        webhook.updatedAt = now;
        await transaction.flush();
        const fields = changedFields(before, webhook);
        // A call that set what was set already is no part of the history; a webhook that was disabled can still be deleted.
        if (fields.length > 0 || action === 'deleted')
          await insertWebhookChange(transaction, { webhookId, byUser: principal.userId, action, fields });
      }
      const result = await view(transaction, webhook);
      await once?.keep(transaction, result);
      return { changed: result, isChanged: hasChanged };
    }),
  );
  if (isChanged) context.onWebhookChanged(webhookId);
  return changed;
}
