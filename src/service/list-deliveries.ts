// The delivery log, newest first.
import type { PoolClient } from 'pg';
import type { DeliveryStatus } from '../domain/delivery.ts';
import { invalid } from '../domain/errors.ts';
import { idFloor, isId } from '../domain/ids.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import type { DeliveryFilter } from '../persistence/queries/delivery-filter.ts';
import { countDeliveries, listDeliveries as listRows, listThese } from '../persistence/queries/list-deliveries.ts';
import { lookDown } from '../persistence/queries/look-down.ts';
import { rareDeliveries } from '../persistence/queries/rare-deliveries.ts';
import { inSnapshot } from '../persistence/transaction.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { listedOwner } from './owner.ts';
import { MAX_COUNTED, pageBounds, type PageBounds, type PageOf, type PageRequest, toPage } from './page.ts';

/**
 * Index entries that a page looks at: 5 to 60 ms of PostgreSQL's time, by how much of the row the filter needs. A million, for a filter
 * that nothing passed, took 0.2 to 0.6 s.
 */
const MAX_LOOKED_AT = 50_000;

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

/**
 * Pages of what the filter names. A page looks at `maxLookedAt` deliveries at most: one that found fewer than it may hold by then, or
 * none, says with its token where to read on.
 */
export async function listDeliveries(
  context: ManagementContext,
  principal: Principal,
  input: ListDeliveriesInput,
  { maxLookedAt = MAX_LOOKED_AT } = {},
): Promise<PageOf<DeliveryRow>> {
  const bounds = pageBounds('delivery', input);
  const filter = toFilter(principal, input);
  return context.reports.run(principal.userId, async (pool) => {
    if (filter.eventType !== null && filter.eventId === null) {
      const rare = await inSnapshot(pool, (client) => rarePage(client, filter, bounds, maxLookedAt));
      if (rare !== null) return rare;
    }
    const top = await lookDown(pool, filter, maxLookedAt);
    // A page by number is reached by stepping over all before it: beyond what is counted, a token is the way.
    const total = await countDeliveries(pool, from(filter, top), MAX_COUNTED + 1);
    if (bounds.offset >= MAX_COUNTED && total > MAX_COUNTED) {
      throw invalid('field_invalid', 'page', `reaches beyond ${MAX_COUNTED} deliveries; read on with page_token`);
    }
    const isCounted = { counted: total, countedAll: top === null };
    if (bounds.offset >= total && bounds.before === null) return toPage(bounds, [], { ...isCounted, lookedTo: top });
    const below = bounds.before === null ? filter : { ...filter, belowId: lower(filter.belowId, bounds.before) };
    const lookedTo = bounds.before === null ? top : await lookDown(pool, below, maxLookedAt);
    const window = { limit: bounds.limit + 1, offset: bounds.offset, before: bounds.before };
    const rows = await listRows(pool, from(filter, lookedTo), window);
    return toPage(bounds, rows, { ...isCounted, lookedTo });
  });
}

/** A page of a type that is rare everywhere; null when it is not. */
async function rarePage(
  client: PoolClient,
  filter: DeliveryFilter,
  bounds: PageBounds,
  maxLookedAt: number,
): Promise<PageOf<DeliveryRow> | null> {
  const ids = await rareDeliveries(client, filter, maxLookedAt);
  // Far more than is counted may be new: then the log is searched as for any other type.
  if (ids === null || ids.length > MAX_COUNTED) return null;
  const { before, offset, limit } = bounds;
  const below = before === null ? ids.slice(offset) : ids.filter((id) => id < before);
  const rows = await listThese(client, below.slice(0, limit + 1));
  return toPage(bounds, rows, { counted: ids.length, countedAll: true, lookedTo: null });
}

/** Only what is at or above an id; null: all. */
function from(filter: DeliveryFilter, id: string | null): DeliveryFilter {
  return id === null ? filter : { ...filter, fromId: id };
}

function lower(one: string | null, other: string): string {
  return one !== null && one < other ? one : other;
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
