// Replays: what has ended is sent again, or what was never made is made, at a pace.
import { notFound } from '../domain/errors.ts';
import { isId, newId } from '../domain/ids.ts';
import { rateOf } from '../domain/release-rate.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { listThese } from '../persistence/queries/list-deliveries.ts';
import { type Preview, previewReplay } from '../persistence/queries/preview-replay.ts';
import type { ReplayFilter } from '../persistence/queries/replay-selection.ts';
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
import { findWebhook } from './find-webhook.ts';
import type { Once } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';
import { pageBounds, toPage } from './page.ts';
import { lockReplaysOf, refuseSecond } from './replay-limits.ts';
import { type SelectionInput, stopOf, toFilter } from './replay-selection.ts';
import { webhookInactive } from './retry-delivery.ts';

export interface ReplayInput extends SelectionInput {
  readonly webhookId: string;
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
      await lockReplaysOf(transaction, [userId]);
      const open = await listOpenReplays(transaction, { webhookIds: [webhookId], userIds: [userId] });
      refuseSecond(filter, { webhookId, userId }, open);
      const replay = await insertReplay(transaction, {
        id: newId('replay', nowMs),
        webhookId,
        userId,
        rate: rateOf(input.rate, rateLimit),
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
