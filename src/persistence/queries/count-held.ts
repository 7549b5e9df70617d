// The statement that counts what is held of paused webhooks.
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { holdsEverything, isHeld, isScheduled } from '../delivery-state.ts';

/** Of each webhook so many are counted at the most: 17 ms. */
export const MAX_COUNTED_HELD = 100_000;

export interface HeldCount {
  readonly webhookId: string;
  /** What is held, and what is still scheduled and will be held; no further than MAX_COUNTED_HELD. */
  readonly count: number;
  /** When the event of the oldest one was committed; null when nothing is held. */
  readonly oldestAt: Date | null;
}

export async function countHeld(pool: Pool, webhookIds: readonly string[]): Promise<HeldCount[]> {
  const { rows } = await pool.query<HeldCount>({ name: 'count-held', text: statement, values: [textArray(webhookIds)] });
  return rows;
}

const statement = `
select w.id as "webhookId", c.count, (
    select d.created_at from deliveries d where d.webhook_id = w.id and ${isHeld} order by d.id limit 1
  ) as "oldestAt"
from webhook_endpoints w cross join lateral (
  select count(*)::integer as count from (
    (select 1 from deliveries d where d.webhook_id = w.id and ${isHeld} limit ${MAX_COUNTED_HELD})
    union all
    (select 1 from deliveries d where ${holdsEverything('w')} and d.webhook_id = w.id and ${isScheduled} limit ${MAX_COUNTED_HELD})
    limit ${MAX_COUNTED_HELD}
  ) x
) c
where w.id = any ($1::text[])`;
