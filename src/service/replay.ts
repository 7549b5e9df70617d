// Replays: what has ended is sent again, or what was never made is made, at a pace.
import { attemptErrors, type DeliveryStatus } from '../domain/delivery.ts';
import { invalid, notFound, ServiceError } from '../domain/errors.ts';
import { idFloor, isId, newId } from '../domain/ids.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { listThese } from '../persistence/queries/list-deliveries.ts';
import { type Preview, previewReplay } from '../persistence/queries/preview-replay.ts';
import { replayableStatuses, type ReplayableStatus, type ReplayFilter } from '../persistence/queries/replay-selection.ts';
import {
  changeReplay,
  findReplay,
  insertReplay,
  listOpenReplays,
  listReplays,
  type ReplayRow,
} from '../persistence/queries/replays.ts';
import { inSnapshot } from '../persistence/transaction.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { unknownEventType } from './event-catalogue.ts';
import { findWebhook } from './find-webhook.ts';
import type { Once } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';
import { pageBounds, toPage } from './page.ts';
import { USUAL_RATE } from './pause-webhook.ts';
import { webhookInactive } from './retry-delivery.ts';

/** Replays of one webhook at a time that have not ended. They share its receiver; more would only be slower each. */
const MAX_OPEN_OF_WEBHOOK = 5;
/** Of one user. A leader makes some 600 steps a second for all of them. */
const MAX_OPEN_OF_USER = 20;
/** The id characters of a moment, without the random ones: below every id that is made from then on. */
const TIME_PREFIX_LENGTH = 'delivery_'.length + 10;

/** Empty lists and nulls do not narrow. Times are in milliseconds since 1970. */
export interface ReplayInput {
  readonly webhookId: string;
  readonly statuses: readonly DeliveryStatus[];
  readonly eventTypes: readonly string[];
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
  readonly errorCodes: readonly string[];
  readonly httpStatuses: readonly number[];
  readonly includeMissing: boolean;
  /** Deliveries a second; null for the webhook's own, or the usual. */
  readonly rate: number | null;
}

/** What a dry run shows. */
export interface ReplayPreview extends Preview {
  readonly webhookId: string;
  readonly filter: ReplayFilter;
  readonly deliveries: readonly DeliveryRow[];
}

/** Counts what a replay would select, and shows the oldest of it. Changes nothing. */
export async function previewOf(context: ManagementContext, principal: Principal, input: ReplayInput): Promise<ReplayPreview> {
  const nowMs = Date.now();
  const { webhookId } = input;
  const filter = toFilter(context, input, nowMs);
  await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), webhookId);
  return context.reports.run(principal.userId, async (pool) => {
    const preview = await previewReplay(pool, { webhookId, filter, stop: stopOf(filter, nowMs) });
    const deliveries = await inSnapshot(pool, (client) => listThese(client, preview.samples, 'asc'));
    return { ...preview, webhookId, filter, deliveries };
  });
}

/**
 * Begins a replay. Throws `webhook_inactive`, `replay_exists` with the id of one that has not ended, and `replay_limit_reached`.
 * @param once when the caller may repeat the call
 */
export async function createReplay(
  context: ManagementContext,
  principal: Principal,
  input: ReplayInput,
  once: Once<ReplayRow> | null = null,
): Promise<ReplayRow> {
  await once?.recognise();
  const nowMs = Date.now();
  const { webhookId } = input;
  const filter = toFilter(context, input, nowMs);
  const stop = stopOf(filter, nowMs);
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  await findWebhook(manager, webhookId);
  const { matched, isLowerBound } = await context.reports.run(principal.userId, (pool) =>
    previewReplay(pool, { webhookId, filter, stop }),
  );
  return context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      // Locked: of two calls for the same the second sees what the first has made.
      const webhook = await findWebhook(transaction, webhookId, { lock: true });
      if (!webhook.isActive) throw webhookInactive();
      const { userId, rateLimit } = webhook;
      // One at a time per user: two that both see room for one more would both take it.
      await transaction.execute(`select pg_advisory_xact_lock(hashtextextended('replays of ' || ?, 0))`, [userId]);
      refuseSecond(filter, webhookId, await listOpenReplays(transaction, { webhookId, userId }));
      const replay = await insertReplay(transaction, {
        id: newId('replay', nowMs),
        webhookId,
        userId,
        rate: input.rate ?? (rateLimit > 0 ? rateLimit : USUAL_RATE),
        filter,
        matched,
        isMatchedLowerBound: isLowerBound,
        stop,
      });
      await once?.keep(transaction, replay);
      return replay;
    }),
  );
}

export async function getReplay(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  id: string,
): Promise<ReplayRow> {
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  await findWebhook(manager, webhookId);
  return (await findReplay(manager, webhookId, checkedId(id))) ?? noReplay();
}

export interface ReplayPage {
  readonly items: readonly ReplayRow[];
  readonly limit: number;
  readonly nextPageToken: string;
}

export async function listReplaysOf(
  context: ManagementContext,
  principal: Principal,
  { webhookId, limit, pageToken }: { readonly webhookId: string; readonly limit: number; readonly pageToken: string },
): Promise<ReplayPage> {
  const bounds = pageBounds('replay', { page: 0, limit, pageToken });
  await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), webhookId);
  const rows = await listReplays(context.pool, { webhookId, lastId: bounds.lastId, limit: bounds.limit + 1 });
  const page = toPage(bounds, rows, { counted: 0, countedAll: false, lookedTo: null });
  return { items: page.items, limit: page.limit, nextPageToken: page.nextPageToken };
}

export interface ReplayChange {
  readonly webhookId: string;
  readonly id: string;
  readonly change: 'pause' | 'resume' | 'cancel';
  /** Null: as it was. */
  readonly rate: number | null;
}

/** Answers how the replay stands. One that has ended is left as it is. */
export async function changeReplayOf(
  context: ManagementContext,
  principal: Principal,
  { webhookId, id, change, rate }: ReplayChange,
  once: Once<ReplayRow> | null = null,
): Promise<ReplayRow> {
  const replayId = checkedId(id);
  const manager = entityManagerOf(context.orm, ownerOf(principal));
  return context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      await findWebhook(transaction, webhookId);
      if ((await findReplay(transaction, webhookId, replayId)) === undefined) throw notFound('replay');
      const replay =
        (await changeReplay(transaction, replayId, { change, rate })) ??
        (await findReplay(transaction, webhookId, replayId)) ??
        noReplay();
      await once?.keep(transaction, replay);
      return replay;
    }),
  );
}

function checkedId(id: string): string {
  if (!isId('replay', id)) throw notFound('replay');
  return id;
}

function noReplay(): never {
  throw notFound('replay');
}

function toFilter({ catalogue }: ManagementContext, input: ReplayInput, nowMs: number): ReplayFilter {
  const { eventTypes, errorCodes, httpStatuses, includeMissing, sinceMs, untilMs } = input;
  const statuses = statusesOf(input.statuses);
  for (const [index, name] of eventTypes.entries()) {
    if (catalogue.find(name) === undefined) throw unknownEventType(`event_types[${index}]`);
  }
  for (const [index, code] of errorCodes.entries()) {
    if (!Object.hasOwn(attemptErrors, code)) {
      throw invalid('field_invalid', `error_codes[${index}]`, 'is not the code of an error of attempts; the README lists them');
    }
  }
  if (errorCodes.length > 0 && statuses.every((status) => status === 'delivered')) {
    throw invalid('field_invalid', 'error_codes', 'no delivered one has an error, so nothing can match');
  }
  if (includeMissing && (errorCodes.length > 0 || httpStatuses.length > 0)) {
    throw invalid('field_invalid', 'include_missing', 'what was never made has no error and no answer; leave them out');
  }
  if (sinceMs !== null && sinceMs >= (untilMs ?? nowMs)) {
    throw invalid(
      'time_range_invalid',
      untilMs === null ? 'since' : 'until',
      'selects nothing: until must be after since, and since in the past',
    );
  }
  return {
    statuses,
    event_types: eventTypes.toSorted(),
    error_codes: errorCodes.toSorted(),
    http_statuses: httpStatuses.toSorted((one, other) => one - other),
    include_missing: includeMissing,
    cursor: floorOf(sinceMs ?? 0),
    since_ms: sinceMs,
    until_ms: untilMs,
  };
}

function statusesOf(statuses: readonly DeliveryStatus[]): ReplayableStatus[] {
  for (const [index, status] of statuses.entries()) {
    if (!replayableStatuses.some((name) => name === status)) {
      throw invalid(
        'field_invalid',
        `statuses[${index}]`,
        `must be one of ${replayableStatuses.join(', ')}; what has not ended is sent without a replay`,
      );
    }
  }
  return statuses.length === 0 ? ['failed'] : replayableStatuses.filter((name) => statuses.includes(name));
}

/** What ends later than the replay began is not sent again. */
function stopOf({ until_ms }: ReplayFilter, nowMs: number): string {
  return floorOf(Math.min(until_ms ?? nowMs + 1, nowMs + 1));
}

function floorOf(ms: number): string {
  return idFloor('delivery', Math.max(0, Math.ceil(ms))).slice(0, TIME_PREFIX_LENGTH);
}

function refuseSecond(filter: ReplayFilter, webhookId: string, open: readonly ReplayRow[]): void {
  const ofWebhook = open.filter((replay) => replay.webhookId === webhookId);
  const same = ofWebhook.find((replay) => isSame(replay.filter, filter));
  if (same !== undefined) throw exists(same, 'with this filter');
  // Nothing in a delivered row says that another replay is about to send it.
  const sends = filter.statuses.includes('delivered');
  const other = sends ? ofWebhook.find((replay) => replay.filter.statuses.includes('delivered')) : undefined;
  if (other !== undefined) throw exists(other, 'that sends delivered ones again');
  if (ofWebhook.length >= MAX_OPEN_OF_WEBHOOK) throw tooMany(`${MAX_OPEN_OF_WEBHOOK} replays of this webhook`);
  if (open.length >= MAX_OPEN_OF_USER) throw tooMany(`${MAX_OPEN_OF_USER} replays of this user`);
}

function isSame(one: ReplayFilter, other: ReplayFilter): boolean {
  return (Object.keys(one) as (keyof ReplayFilter)[]).every((name) => String(one[name]) === String(other[name]));
}

function exists({ id }: ReplayRow, which: string): ServiceError {
  const message = `A replay ${which} has not ended: ${id}. Wait for its end, or cancel it.`;
  return new ServiceError('replay_exists', message, { violations: [{ field: 'replay_id', message: id }] });
}

function tooMany(what: string): ServiceError {
  return new ServiceError('replay_limit_reached', `${what} have not ended, as many as may run; wait for one, or cancel it.`);
}
