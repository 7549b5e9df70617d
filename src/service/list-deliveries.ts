// The delivery log, newest first.
import type { DeliveryStatus } from '../domain/delivery.ts';
import { invalid } from '../domain/errors.ts';
import { idFloor, isId } from '../domain/ids.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { countDeliveries, type DeliveryFilter, listDeliveries as listRows } from '../persistence/queries/list-deliveries.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { listedOwner } from './owner.ts';
import { MAX_COUNTED, pageBounds, type PageOf, type PageRequest, toPage } from './page.ts';

/** Empty strings and nulls do not narrow. */
export interface ListDeliveriesInput extends PageRequest {
  readonly status: DeliveryStatus | null;
  readonly webhookId: string;
  readonly eventType: string;
  readonly eventId: string;
  /** Made at or after this moment. */
  readonly sinceMs: number | null;
  /** Made before this moment. */
  readonly untilMs: number | null;
  readonly userId: string;
}

export async function listDeliveries(
  context: ManagementContext,
  principal: Principal,
  input: ListDeliveriesInput,
): Promise<PageOf<DeliveryRow>> {
  const bounds = pageBounds('delivery', input);
  const filter = toFilter(principal, input);
  // A page by number is reached by stepping over all before it: beyond what is counted, a token is the way.
  const total = await countDeliveries(context.pool, filter, MAX_COUNTED + 1);
  if (bounds.offset >= MAX_COUNTED && total > MAX_COUNTED) {
    throw invalid('field_invalid', 'page', `reaches beyond ${MAX_COUNTED} deliveries; read on with page_token`);
  }
  if (bounds.offset >= total && bounds.before === null) return toPage(bounds, [], total);
  const rows = await listRows(context.pool, filter, { limit: bounds.limit + 1, offset: bounds.offset, before: bounds.before });
  return toPage(bounds, rows, total);
}

function toFilter(principal: Principal, input: ListDeliveriesInput): DeliveryFilter {
  const owner = listedOwner(principal, input.userId);
  if (input.webhookId !== '' && !isId('webhook', input.webhookId))
    throw invalid('field_invalid', 'webhook_id', 'is not a webhook id');
  if (input.eventId !== '' && !isId('event', input.eventId)) throw invalid('field_invalid', 'event_id', 'is not an event id');
  if (input.sinceMs !== null && input.untilMs !== null && input.sinceMs >= input.untilMs) {
    throw invalid('time_range_invalid', 'until', 'must be after since');
  }
  return {
    userId: 'everyone' in owner ? null : owner.userId,
    webhookId: input.webhookId || null,
    status: input.status,
    eventType: input.eventType || null,
    eventId: input.eventId || null,
    // An id begins with the time it was made, so a range of time is a range of ids.
    fromId: input.sinceMs === null ? null : idFloor('delivery', Math.max(0, Math.ceil(input.sinceMs))),
    belowId: input.untilMs === null ? null : idFloor('delivery', Math.max(0, Math.ceil(input.untilMs))),
  };
}
