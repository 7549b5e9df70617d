// Reads one webhook.
import { entityManagerOf } from '../persistence/orm.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';
import { type WebhookView, webhookViewWithHeld } from './webhook-view.ts';

export async function getWebhook(context: ManagementContext, principal: Principal, webhookId: string): Promise<WebhookView> {
  const webhook = await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), webhookId);
  return webhookViewWithHeld(context, webhook);
}
