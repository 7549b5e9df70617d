// The statement that finds what became due lately and was not finished: what a schedule most likely lost.
import type { Pool, PoolClient } from 'pg';
import type { ScheduledRow } from './list-scheduled.ts';

export interface OverdueRequest {
  /** The walk goes on behind this webhook; empty begins it. */
  readonly afterWebhookId: string;
  readonly maxWebhooks: number;
  /** The page ends with the webhook that reaches it, so it has up to `perWebhook` more. */
  readonly maxRows: number;
  readonly perWebhook: number;
  /** Became due at least and at most so many milliseconds ago. */
  readonly minAgeMs: number;
  readonly maxAgeMs: number;
}

export interface OverduePage {
  readonly rows: readonly ScheduledRow[];
  /** Null: the walk saw every webhook. */
  readonly nextWebhookId: string | null;
}

export async function listOverdue(client: Pool | PoolClient, request: OverdueRequest): Promise<OverduePage> {
  const { afterWebhookId, maxWebhooks, maxRows, perWebhook, minAgeMs, maxAgeMs } = request;
  const result = await client.query<[string | null, string, number, number, number, boolean]>({
    name: 'list-overdue',
    text: statement,
    rowMode: 'array',
    values: [afterWebhookId, maxWebhooks, perWebhook, minAgeMs, maxAgeMs, maxRows],
  });
  const rows: ScheduledRow[] = [];
  let nextWebhookId: string | null = null;
  for (const [deliveryId, webhookId, dueAtMs, webhooks, found, isHeld] of result.rows) {
    if (deliveryId !== null) rows.push({ deliveryId, webhookId, dueAtMs, isHeld });
    else if (webhooks >= maxWebhooks || found >= maxRows) nextWebhookId = webhookId;
  }
  return { rows, nextWebhookId };
}

// The same loose index scan as in claim-due.ts: a step a webhook, whatever its backlog. Each step carries what it found, so that the
// walk can end when that is enough; the last row says how far it came.
const statement = `
with recursive walk as (
  select $1::text collate "C" as webhook_id, 0 as step, 0 as found, '{}'::text[] collate "C" as ids, '{}'::float8[] as due, '{}'::boolean[] as held
  union all
  select following.webhook_id, walk.step + 1, walk.found + cardinality(overdue.ids), overdue.ids, overdue.due, overdue.held
  from walk cross join lateral (
    select d.webhook_id from deliveries d
    where d.next_attempt_at is not null and d.webhook_id > walk.webhook_id order by d.webhook_id limit 1
  ) following
  cross join lateral (
    select coalesce(array_agg(id), '{}') as ids, coalesce(array_agg(due_ms), '{}') as due, coalesce(array_agg(is_held), '{}') as held
    from (
      select d.id, ceil(extract(epoch from greatest(d.next_attempt_at, d.leased_until)) * 1000)::float8 as due_ms,
        coalesce(d.leased_until > now(), false) as is_held
      from deliveries d
      where d.webhook_id = following.webhook_id
        and d.next_attempt_at > now() - $5::float8 * interval '1 millisecond'
        and d.next_attempt_at <= now() - $4::float8 * interval '1 millisecond'
      order by d.next_attempt_at
      limit $3::integer
    ) earliest
  ) overdue
  where walk.step < $2::integer and walk.found < $6::integer
)
select listed.id, walk.webhook_id, listed.due_ms, 0, 0, listed.is_held
from walk cross join lateral unnest(walk.ids, walk.due, walk.held) as listed(id, due_ms, is_held)
union all
select null, max(webhook_id), 0, max(step), max(found), false from walk`;
