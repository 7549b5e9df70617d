// The delivery log, by time.
import type { PoolClient } from 'pg';
import { type AttemptError, attemptErrors, type DeliveryStatus } from '../domain/delivery.ts';
import { invalid } from '../domain/errors.ts';
import { idFloor, isId } from '../domain/ids.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { behind, type DeliveryFilter, type Order, upTo } from '../persistence/queries/delivery-filter.ts';
import { countDeliveries, listDeliveries as listRows, listThese } from '../persistence/queries/list-deliveries.ts';
import { indexFor, lookDown } from '../persistence/queries/look-down.ts';
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
/** Rows that a page reads where only they say what passes, as a status of 2xx does: each costs some ten times an index entry. */
const MAX_ROWS_READ = 2500;

/** Empty strings, empty lists and nulls do not narrow. */
export interface ListDeliveriesInput extends PageRequest {
  readonly statuses: readonly DeliveryStatus[];
  readonly webhookIds: readonly string[];
  readonly eventType: string;
  readonly eventId: string;
  /** Of the last attempt. */
  readonly httpStatus: number | null;
  readonly errorCode: string;
  /** Made at or after this moment. */
  readonly sinceMs: number | null;
  /** Made before this moment. */
  readonly untilMs: number | null;
  readonly userId: string;
  /** Newest first is `desc`. */
  readonly order: Order;
}

/**
 * Pages of what the filter names. A page looks at `maxLookedAt` deliveries at most: one that found fewer than it may hold by then, or
 * none, says with its token where to read on.
 */
export async function listDeliveries(
  context: ManagementContext,
  principal: Principal,
  input: ListDeliveriesInput,
  { maxLookedAt = MAX_LOOKED_AT, maxRowsRead = Math.min(maxLookedAt, MAX_ROWS_READ) } = {},
): Promise<PageOf<DeliveryRow>> {
  const bounds = pageBounds('delivery', input);
  const asked = toFilter(principal, input);
  const mayLook = { maxEntries: maxLookedAt, maxRows: maxRowsRead };
  const { order } = input;
  return context.reports.run(principal.userId, async (pool) => {
    if (asked.eventType !== null && asked.eventId === null) {
      const rare = await inSnapshot(pool, (client) => rarePage(client, asked, { bounds, order }, maxLookedAt));
      if (rare !== null) return rare;
    }
    const filter = { ...asked, along: await indexFor(pool, asked) };
    const reach = await lookDown(pool, filter, mayLook, order);
    // A page by number is reached by stepping over all before it: beyond what is counted, a token is the way.
    const total = await countDeliveries(pool, upTo(filter, reach, order), MAX_COUNTED + 1);
    if (bounds.offset >= MAX_COUNTED && total > MAX_COUNTED) {
      throw invalid('field_invalid', 'page', `reaches beyond ${MAX_COUNTED} deliveries; read on with page_token`);
    }
    const isCounted = { counted: total, countedAll: reach === null };
    const { lastId } = bounds;
    if (bounds.offset >= total && lastId === null) return toPage(bounds, [], { ...isCounted, lookedTo: reach });
    const rest = lastId === null ? filter : behind(filter, lastId, order);
    const lookedTo = lastId === null ? reach : await lookDown(pool, rest, mayLook, order);
    const window = { limit: bounds.limit + 1, offset: bounds.offset, order };
    const rows = await listRows(pool, upTo(rest, lookedTo, order), window);
    return toPage(bounds, rows, { ...isCounted, lookedTo });
  });
}

/** A page of a type that is rare everywhere; null when it is not. */
async function rarePage(
  client: PoolClient,
  filter: DeliveryFilter,
  { bounds, order }: { readonly bounds: PageBounds; readonly order: Order },
  maxLookedAt: number,
): Promise<PageOf<DeliveryRow> | null> {
  const found = await rareDeliveries(client, filter, maxLookedAt);
  // Far more than is counted may be new: then the log is searched as for any other type.
  if (found === null || found.length > MAX_COUNTED) return null;
  const ids = order === 'desc' ? found : found.toReversed();
  const { lastId, offset, limit } = bounds;
  const rest = lastId === null ? ids.slice(offset) : ids.filter((id) => (order === 'desc' ? id < lastId : id > lastId));
  const rows = await listThese(client, rest.slice(0, limit + 1), order);
  return toPage(bounds, rows, { counted: ids.length, countedAll: true, lookedTo: null });
}

function toFilter(principal: Principal, input: ListDeliveriesInput): DeliveryFilter {
  const owner = listedOwner(principal, input.userId);
  if (!input.webhookIds.every((id) => isId('webhook', id))) throw invalid('field_invalid', 'webhook_id', 'is not a webhook id');
  if (input.eventId !== '' && !isId('event', input.eventId)) throw invalid('field_invalid', 'event_id', 'is not an event id');
  if (input.errorCode !== '' && !Object.hasOwn(attemptErrors, input.errorCode)) {
    throw invalid('field_invalid', 'error_code', 'is not the code of an error of attempts; the README lists them');
  }
  if (input.sinceMs !== null && input.untilMs !== null && input.sinceMs >= input.untilMs) {
    throw invalid('time_range_invalid', 'until', 'must be after since');
  }
  return {
    userId: 'everyone' in owner ? null : owner.userId,
    webhookIds: [...new Set(input.webhookIds)],
    statuses: [...new Set(input.statuses)],
    eventType: input.eventType || null,
    eventId: input.eventId || null,
    httpStatus: input.httpStatus,
    // It was looked up among them.
    errorCode: (input.errorCode as AttemptError | '') || null,
    along: 'webhooks',
    // An id begins with the time it was made, so a range of time is a range of ids.
    fromId: input.sinceMs === null ? null : idFloor('delivery', Math.max(0, Math.ceil(input.sinceMs))),
    belowId: input.untilMs === null ? null : idFloor('delivery', Math.max(0, Math.ceil(input.untilMs))),
  };
}
