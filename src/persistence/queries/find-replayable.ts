// Finds the webhooks that have something to replay, and about how much.
import type { Pool } from 'pg';
import { matchedColumns, matches, nextRows, type Reading, readingOf, type ReplayFilter } from './replay-selection.ts';

/** Webhooks of one call. Each gets a replay, of which the leader makes ten steps a second of some 1.6 ms. */
export const MAX_REPLAYABLE = 100;
/** ms. As long as a preview of one webhook may look. */
const MAX_LOOK_MS = 500;
/** Webhooks of one statement, and deliveries of each that it reads: 100,000 rows, 50 to 200 ms. */
const MAX_WEBHOOKS_A_LOOK = 100;
const MAX_LOOKED_AT = 1000;

export interface ReplayableRequest {
  /** Null: everyone's. */
  readonly userId: string | null;
  /** Exclusive; null: from the first. */
  readonly afterId: string | null;
  readonly filter: ReplayFilter;
  /** Ids of deliveries below this one match. */
  readonly stop: string;
}

export interface Replayable {
  readonly id: string;
  readonly userId: string;
  readonly rateLimit: number;
  readonly matched: number;
  /** There may be more. None of those that were looked at may match. */
  readonly isLowerBound: boolean;
}

export interface ReplayablePage {
  readonly webhooks: readonly Replayable[];
  /** The last webhook that was looked at; null: all were. */
  readonly lookedTo: string | null;
}

/** In the order of their ids: `MAX_REPLAYABLE` at the most, and as many as half a second finds. */
export async function findReplayable(pool: Pool, request: ReplayableRequest): Promise<ReplayablePage> {
  const deadline = performance.now() + MAX_LOOK_MS;
  const { userId, filter, stop } = request;
  const lists = [filter.statuses, orNull(filter.event_types), orNull(filter.error_codes), orNull(filter.http_statuses)];
  const text = look(readingOf(filter.statuses));
  const webhooks: Replayable[] = [];
  let afterId = request.afterId ?? '';
  for (;;) {
    const { rows } = await pool.query<Replayable>(text, [userId, afterId, filter.cursor, stop, ...lists]);
    for (const row of rows) {
      afterId = row.id;
      if (row.matched > 0 || row.isLowerBound) webhooks.push(row);
      if (webhooks.length === MAX_REPLAYABLE) return { webhooks, lookedTo: afterId };
    }
    if (rows.length < MAX_WEBHOOKS_A_LOOK) return { webhooks, lookedTo: null };
    if (performance.now() > deadline) return { webhooks, lookedTo: afterId };
  }
}

function orNull<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

const values = {
  statuses: '$5::text[]',
  event_types: '$6::text[]',
  error_codes: '$7::text[]',
  http_statuses: '$8::integer[]',
  made_at: 'now()',
} as const;

const look = (reading: Reading): string => `
with w as materialized (
  select w.id, w.user_id, w.rate_limit from webhook_endpoints w
  where w.deleted_at is null and w.is_active and ($1::text is null or w.user_id = $1) and w.id > $2
  order by w.id limit ${MAX_WEBHOOKS_A_LOOK}
)
select w.id, w.user_id as "userId", w.rate_limit as "rateLimit", m.matched, m.looked >= ${MAX_LOOKED_AT} as "isLowerBound"
from w cross join lateral (
  select (count(*) filter (where ${matches('d', (name) => values[name])}))::integer as matched, count(*) as looked
  from (${nextRows(reading, matchedColumns, { webhookId: 'w.id', cursor: '$3', stop: '$4' }, MAX_LOOKED_AT)}) d
) m
order by w.id`;
