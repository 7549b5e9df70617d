// The statement that finds what became due lately and was not finished: what a schedule most likely lost.
import type { Pool, PoolClient } from 'pg';
import type { ScheduledRow } from './list-scheduled.ts';

export interface OverdueRequest {
  /** The walk goes on behind this webhook; empty begins it. */
  readonly afterWebhookId: string;
  readonly maxWebhooks: number;
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
  const result = await client.query<[string | null, string, number]>({
    name: 'list-overdue',
    text: statement,
    rowMode: 'array',
    values: [request.afterWebhookId, request.maxWebhooks, request.perWebhook, request.minAgeMs, request.maxAgeMs],
  });
  const rows: ScheduledRow[] = [];
  let nextWebhookId: string | null = null;
  for (const [deliveryId, webhookId, number] of result.rows) {
    if (deliveryId !== null) rows.push({ deliveryId, webhookId, dueAtMs: number });
    else if (number >= request.maxWebhooks) nextWebhookId = webhookId;
  }
  return { rows, nextWebhookId };
}

// The same loose index scan as in claim-due.ts: a step a webhook, whatever its backlog.
const statement = `
with recursive walk as (
  (select d.webhook_id, 1 as step from deliveries d
   where d.status in ('pending', 'retrying') and d.webhook_id > $1 order by d.webhook_id limit 1)
  union all
  select following.webhook_id, walk.step + 1
  from walk cross join lateral (
    select d.webhook_id from deliveries d
    where d.status in ('pending', 'retrying') and d.webhook_id > walk.webhook_id order by d.webhook_id limit 1
  ) following
  where walk.step < $2::integer
)
select overdue.id, walk.webhook_id, overdue.due_ms
from walk cross join lateral (
  select d.id, ceil(extract(epoch from greatest(d.next_attempt_at, d.leased_until)) * 1000)::float8 as due_ms
  from deliveries d
  where d.webhook_id = walk.webhook_id and d.status in ('pending', 'retrying')
    and d.next_attempt_at > now() - $5::float8 * interval '1 millisecond'
    and d.next_attempt_at <= now() - $4::float8 * interval '1 millisecond'
  order by d.next_attempt_at
  limit $3::integer
) overdue
union all
select null, coalesce(max(webhook_id), ''), count(*) from walk`;
