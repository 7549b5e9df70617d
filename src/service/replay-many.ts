// Replays of many webhooks in one call, for operators: by user, by cause, by time.
import type { EntityManager } from '@mikro-orm/postgresql';
import { invalid, ServiceError } from '../domain/errors.ts';
import { newId } from '../domain/ids.ts';
import { rateOf } from '../domain/release-rate.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { findReplayable, MAX_REPLAYABLE, type Replayable } from '../persistence/queries/find-replayable.ts';
import type { ReplayFilter } from '../persistence/queries/replay-selection.ts';
import { countOpenReplays, insertReplay, listOpenReplays, type ReplayRow } from '../persistence/queries/replays.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import type { Once } from './idempotent-call.ts';
import { pageBounds, toPage } from './page.ts';
import { lockReplaysOf, refuseSecond } from './replay-limits.ts';
import { type SelectionInput, stopOf, toFilter } from './replay-selection.ts';
import { webhookInactive } from './retry-delivery.ts';

/** Open replays, everyone's, that operators may fill up to: with more a round of the leader takes longer than the second that a pace can catch up. */
const MAX_OPEN = 500;

export interface ReplaysInput extends Omit<SelectionInput, 'includeMissing'> {
  /** Empty: everyone's webhooks. */
  readonly userId: string;
  /** Deliveries a second of each webhook; null for its own, or the usual. */
  readonly rate: number | null;
  /** Where the call before has ended; empty: from the first webhook. */
  readonly pageToken: string;
}

export interface SkippedWebhook {
  readonly webhookId: string;
  /** A reason of errors. */
  readonly code: string;
  readonly message: string;
}

export interface Replays {
  readonly begun: readonly ReplayRow[];
  readonly skipped: readonly SkippedWebhook[];
  readonly nextPageToken: string;
}

export interface ReplaysPreview {
  readonly filter: ReplayFilter;
  readonly webhooks: readonly Replayable[];
  readonly nextPageToken: string;
}

/** Which webhooks a call would begin replays of. Changes nothing. */
export async function previewReplays(
  context: ManagementContext,
  principal: Principal,
  input: ReplaysInput,
): Promise<ReplaysPreview> {
  const { filter, webhooks, nextPageToken } = await find(context, principal, input);
  return { filter, webhooks, nextPageToken };
}

/**
 * Begins a replay of each webhook that has something to replay, all of them in one commit. One that cannot have a replay now is skipped, with the reason.
 * @param once when the caller may repeat the call
 */
export async function createReplays(
  context: ManagementContext,
  principal: Principal,
  input: ReplaysInput,
  once: Once<Replays> | null = null,
): Promise<Replays> {
  await once?.recognise();
  const found = await find(context, principal, input);
  const manager = entityManagerOf(context.orm, { everyone: true });
  return context.changes.run(principal.userId, () =>
    manager.transactional(async (transaction) => {
      await once?.take(transaction);
      const replays = { ...(await beginAll(transaction, found, input.rate)), nextPageToken: found.nextPageToken };
      await once?.keep(transaction, replays);
      return replays;
    }),
  );
}

type Found = ReplaysPreview & { readonly nowMs: number; readonly stop: string };

async function find(context: ManagementContext, principal: Principal, input: ReplaysInput): Promise<Found> {
  const { userId, sinceMs, errorCodes, httpStatuses } = input;
  if (userId === '' && sinceMs === null && errorCodes.length + httpStatuses.length === 0) {
    throw invalid(
      'field_invalid',
      'since',
      'or user_id, error_codes or http_statuses must be given: everything of everyone is not sent again',
    );
  }
  const nowMs = Date.now();
  const filter = toFilter(context, { ...input, includeMissing: false }, nowMs);
  const stop = stopOf(filter, nowMs);
  const bounds = pageBounds('webhook', { page: 0, limit: MAX_REPLAYABLE, pageToken: input.pageToken });
  const request = { userId: userId === '' ? null : userId, afterId: bounds.lastId, filter, stop };
  const { webhooks, lookedTo } = await context.reports.run(principal.userId, (pool) => findReplayable(pool, request));
  const { nextPageToken } = toPage(bounds, webhooks, { counted: 0, countedAll: false, lookedTo });
  return { filter, webhooks, nextPageToken, nowMs, stop };
}

async function beginAll(transaction: EntityManager, { filter, webhooks, nowMs, stop }: Found, rate: number | null) {
  const begun: ReplayRow[] = [];
  const skipped: SkippedWebhook[] = [];
  const active = await lockActive(transaction, webhooks);
  const userIds = webhooks.map(({ userId }) => userId);
  await lockReplaysOf(transaction, userIds);
  const open = await listOpenReplays(transaction, { webhookIds: webhooks.map(({ id }) => id), userIds });
  const room = MAX_OPEN - (await countOpenReplays(transaction));
  for (const { id: webhookId, userId, rateLimit, matched, isLowerBound } of webhooks) {
    try {
      if (!active.has(webhookId)) throw webhookInactive();
      refuseSecond(filter, { webhookId, userId }, [...open, ...begun]);
      if (begun.length >= room) throw noRoom();
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      skipped.push({ webhookId, code: error.reason, message: error.message });
      continue;
    }
    const given = { id: newId('replay', nowMs), webhookId, userId, rate: rateOf(rate, rateLimit), filter, matched, stop };
    begun.push(await insertReplay(transaction, { ...given, isMatchedLowerBound: isLowerBound }));
  }
  return { begun, skipped };
}

/** Locked in the order of their ids, as a webhook is before its replay. */
async function lockActive(transaction: EntityManager, webhooks: readonly Replayable[]): Promise<ReadonlySet<string>> {
  const rows = await transaction.execute<{ id: string }[]>(
    `select id from webhook_endpoints where id in (select jsonb_array_elements_text(?::jsonb)) and is_active and deleted_at is null
     order by id for update`,
    [JSON.stringify(webhooks.map(({ id }) => id))],
  );
  return new Set(rows.map(({ id }) => id));
}

function noRoom(): ServiceError {
  return new ServiceError(
    'replay_limit_reached',
    `${MAX_OPEN} replays have not ended, as many as one leader keeps at their pace; wait for some.`,
  );
}
