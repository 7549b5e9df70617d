// The statement that finds what became due lately and is unfinished: a schedule has most likely lost it.
import type { Pool, PoolClient } from 'pg';
import type { ScheduledRow } from './list-scheduled.ts';
import { isScheduled } from '../delivery-state.ts';

/** Where a page ends; the next one goes on behind it. */
export interface OverdueCursor {
  /** In microseconds, as exact as the column: rows of one commit share a moment, and a page may end among them. */
  readonly nextAttemptAtUs: number;
  readonly deliveryId: string;
}

export interface OverdueRequest {
  readonly after: OverdueCursor | null;
  readonly limit: number;
  /** A page leaves out what a webhook has beyond so many in it. */
  readonly perWebhook: number;
  /** Became due at least and at most so many milliseconds ago. */
  readonly minAgeMs: number;
  readonly maxAgeMs: number;
}

export interface OverduePage {
  readonly rows: readonly ScheduledRow[];
  /** Null: this was the last page. */
  readonly next: OverdueCursor | null;
}

export async function listOverdue(client: Pool | PoolClient, request: OverdueRequest): Promise<OverduePage> {
  const { after, limit, perWebhook, minAgeMs, maxAgeMs } = request;
  const result = await client.query<[string, string, number, number, boolean]>({
    name: 'list-overdue',
    text: statement,
    rowMode: 'array',
    values: [minAgeMs, maxAgeMs, after?.nextAttemptAtUs ?? 0, after?.deliveryId ?? '', limit],
  });
  const counts = new Map<string, number>();
  const rows: ScheduledRow[] = [];
  for (const [deliveryId, webhookId, dueAtMs, , isLeased] of result.rows) {
    const count = (counts.get(webhookId) ?? 0) + 1;
    counts.set(webhookId, count);
    if (count <= perWebhook) rows.push({ deliveryId, webhookId, dueAtMs, isLeased });
  }
  const last = result.rows.at(-1);
  const isLastPage = last === undefined || result.rows.length < limit;
  return { rows, next: isLastPage ? null : { deliveryId: last[0], nextAttemptAtUs: last[3] } };
}

// Along deliveries_next_attempt, earliest first: one look a partition and a step a row, however many webhooks there are. The id only
// breaks ties, by a sort within equal moments.
const statement = `
select d.id, d.webhook_id,
  ceil(extract(epoch from greatest(d.next_attempt_at, d.leased_until)) * 1000)::float8,
  (extract(epoch from d.next_attempt_at) * 1000000)::float8, coalesce(d.leased_until > now(), false)
from deliveries d
where ${isScheduled}
  and d.next_attempt_at > now() - $2::float8 * interval '1 millisecond'
  and d.next_attempt_at <= now() - $1::float8 * interval '1 millisecond'
  and (d.next_attempt_at, d.id) > (timestamptz 'epoch' + $3::float8 * interval '1 microsecond', $4)
order by d.next_attempt_at, d.id
limit $5`;
