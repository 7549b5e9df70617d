// The rows of replays, as callers make, read and change them. The leader moves them on (release-states.ts).
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import type { ReplayFilter } from './replay-selection.ts';

export type ReplayState = 'running' | 'waiting' | 'paused' | 'completed' | 'cancelled';

/** Times are in milliseconds since 1970. */
export interface ReplayRow {
  readonly id: string;
  readonly webhookId: string;
  readonly userId: string;
  readonly state: ReplayState;
  readonly reason: string | null;
  /** Deliveries a second. */
  readonly rate: number;
  readonly filter: ReplayFilter;
  readonly matched: number;
  readonly isMatchedLowerBound: boolean;
  readonly released: number;
  readonly delivered: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly createdAtMs: number;
  readonly endedAtMs: number | null;
}

type Given = 'id' | 'webhookId' | 'userId' | 'rate' | 'filter' | 'matched' | 'isMatchedLowerBound';

export interface NewReplay extends Pick<ReplayRow, Given> {
  /** Ids below this one match. */
  readonly stop: string;
}

const columns = `id, webhook_id as "webhookId", user_id as "userId", state, reason, rate, filter, matched::float8 as matched,
  is_matched_lower_bound as "isMatchedLowerBound", released::float8 as released, delivered::float8 as delivered, failed::float8 as failed,
  cancelled::float8 as cancelled, floor(extract(epoch from made_at) * 1000)::float8 as "createdAtMs",
  floor(extract(epoch from ended_at) * 1000)::float8 as "endedAtMs"`;

export async function insertReplay(transaction: EntityManager, replay: NewReplay): Promise<ReplayRow> {
  const { id, webhookId, userId, rate, filter, matched, isMatchedLowerBound, stop } = replay;
  const rows = await transaction.execute<ReplayRow[]>(
    `insert into releases (id, webhook_id, user_id, kind, rate, filter, matched, is_matched_lower_bound, cursor, stop)
     values (?, ?, ?, 'replay', ?, ?::jsonb, ?, ?, ?, ?) returning ${columns}`,
    [id, webhookId, userId, rate, JSON.stringify(filter), matched, isMatchedLowerBound, filter.cursor, stop],
  );
  return rows[0] as ReplayRow;
}

/** Replays that have not ended, of webhooks or of their users, oldest first. */
export async function listOpenReplays(
  transaction: EntityManager,
  { webhookIds, userIds }: { readonly webhookIds: readonly string[]; readonly userIds: readonly string[] },
): Promise<ReplayRow[]> {
  return transaction.execute<ReplayRow[]>(
    `select ${columns} from releases where kind = 'replay' and ended_at is null
       and (webhook_id in (select jsonb_array_elements_text(?::jsonb)) or user_id in (select jsonb_array_elements_text(?::jsonb)))
     order by no`,
    [JSON.stringify(webhookIds), JSON.stringify(userIds)],
  );
}

/** Replays that have not ended, everyone's. */
export async function countOpenReplays(transaction: EntityManager): Promise<number> {
  const [found] = await transaction.execute<{ n: number }[]>(
    `select count(*)::integer as n from releases where kind = 'replay' and ended_at is null`,
  );
  return found?.n ?? 0;
}

export async function findReplay(transaction: EntityManager, webhookId: string, id: string): Promise<ReplayRow | undefined> {
  const [row] = await transaction.execute<ReplayRow[]>(
    `select ${columns} from releases where id = ? and webhook_id = ? and kind = 'replay'`,
    [id, webhookId],
  );
  return row;
}

/** Newest first, behind `lastId`. By their numbers: ids are made by clocks of several processes, and may not come in that order. */
export async function listReplays(
  pool: Pool,
  { webhookId, lastId, limit }: { readonly webhookId: string; readonly lastId: string | null; readonly limit: number },
): Promise<ReplayRow[]> {
  const { rows } = await pool.query<ReplayRow>({
    name: 'list-replays',
    text: `select ${columns} from releases where webhook_id = $1 and kind = 'replay'
        and ($2::text is null or no < (select last.no from releases last where last.id = $2)) order by no desc limit $3`,
    values: [webhookId, lastId, limit],
  });
  return rows;
}

/** A change of a replay that has not ended. Waits for a step of it that is under way. */
export async function changeReplay(
  transaction: EntityManager,
  id: string,
  { change, rate }: { readonly change: 'pause' | 'resume' | 'cancel'; readonly rate: number | null },
): Promise<ReplayRow | undefined> {
  const [row] = await transaction.execute<ReplayRow[]>(
    `update releases set ${changes[change]}, rate = coalesce(?, rate) where id = ? and kind = 'replay' and ended_at is null
     returning ${columns}`,
    [rate, id],
  );
  return row;
}

// One that is resumed starts slowly; one that runs goes on as it does.
const changes = {
  pause: `state = 'paused', reason = null`,
  resume: `begun_at = case when state = 'paused' then null else begun_at end, filled_at = case when state = 'paused' then null else filled_at end,
    tokens = case when state = 'paused' then least(tokens, 1) else tokens end, state = case when state = 'paused' then 'running' else state end`,
  cancel: `state = 'cancelled', reason = 'cancelled_by_caller', ended_at = clock_timestamp()`,
} as const;
