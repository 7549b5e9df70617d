// Lists webhooks, newest first.
import type { Pool } from 'pg';
import { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { countWebhooks, listWebhookIds, type WebhookFilter } from '../persistence/queries/list-webhooks.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { unknownEventType } from './event-catalogue.ts';
import { listedOwner } from './owner.ts';
import { MAX_COUNTED, pageBounds, type PageOf, type PageRequest, toPage } from './page.ts';
import { type WebhookView, webhookViews } from './webhook-view.ts';

/** Empty strings and null do not narrow. */
export interface ListWebhooksInput extends PageRequest {
  /** Empty: all the caller may see. */
  readonly userId: string;
  readonly isActive: boolean | null;
  readonly url: string;
  readonly eventType: string;
  /** Stands somewhere in the URL, the description or the id, in upper or lower case. */
  readonly text: string;
  /** Empty: whichever. */
  readonly webhookIds: readonly string[];
}

export async function listWebhooks(
  context: ManagementContext,
  principal: Principal,
  input: ListWebhooksInput,
): Promise<PageOf<WebhookView>> {
  const bounds = pageBounds('webhook', input);
  const owner = listedOwner(principal, input.userId);
  const { eventType } = input;
  if (eventType !== '' && context.catalogue.find(eventType) === undefined) throw unknownEventType('event_type');
  const filter = toFilter('everyone' in owner ? null : owner.userId, input);
  const read = (pool: Pool): Promise<[number, string[]]> =>
    Promise.all([
      countWebhooks(pool, filter, MAX_COUNTED + 1),
      listWebhookIds(pool, filter, { limit: bounds.limit + 1, offset: bounds.offset, lastId: bounds.lastId }),
    ]);
  // A user has so many. A filter that hardly any of everyone's passes looks at all of them: that is a report.
  const isReport = filter.userId === null && filter.ids === null;
  const [total, ids] = await (isReport ? context.reports.run(principal.userId, read) : read(context.pool));
  const manager = entityManagerOf(context.orm, owner);
  const webhooks = await manager.find(WebhookEndpoint, { id: { $in: ids }, deletedAt: null }, { orderBy: { id: 'desc' } });
  const views = new Map((await webhookViews(context, webhooks)).map((view) => [view.id, view]));
  const page = toPage(
    bounds,
    ids.map((id) => ({ id })),
    { counted: total, countedAll: true, lookedTo: null },
  );
  // One that was deleted a moment ago is left out, and the list goes on behind it.
  return { ...page, items: page.items.flatMap(({ id }) => views.get(id) ?? []) };
}

function toFilter(userId: string | null, { isActive, url, eventType, text, webhookIds }: ListWebhooksInput): WebhookFilter {
  return {
    userId,
    isActive,
    url: url === '' ? null : asStored(url),
    eventType: eventType || null,
    text: text || null,
    ids: webhookIds.length === 0 ? null : webhookIds,
  };
}

/** `HTTPS://Example.com` is stored as `https://example.com/`. What is no URL is the URL of none. */
function asStored(url: string): string {
  return URL.parse(url)?.href ?? url;
}
