// Lists webhooks, newest first.
import { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { listedOwner } from './owner.ts';
import { pageBounds, type PageOf, type PageRequest, toPage } from './page.ts';
import { type WebhookView, webhookView } from './webhook-view.ts';

export interface ListWebhooksInput extends PageRequest {
  /** Empty: all the caller may see. */
  readonly userId: string;
}

export async function listWebhooks(
  context: ManagementContext,
  principal: Principal,
  input: ListWebhooksInput,
): Promise<PageOf<WebhookView>> {
  const bounds = pageBounds('webhook', input);
  const manager = entityManagerOf(context.orm, listedOwner(principal, input.userId));
  const total = await manager.count(WebhookEndpoint, { deletedAt: null });
  const older = bounds.before === null ? {} : { id: { $lt: bounds.before } };
  const webhooks = await manager.find(
    WebhookEndpoint,
    { deletedAt: null, ...older },
    { orderBy: { id: 'desc' }, limit: bounds.limit + 1, offset: bounds.offset },
  );
  const views = webhooks.map((webhook) => webhookView(webhook, context.config.delivery.retry));
  return toPage(bounds, views, { counted: total, countedAll: true, lookedTo: null });
}
