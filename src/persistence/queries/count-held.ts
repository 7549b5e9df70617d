// The statement that counts what is held of paused webhooks.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { textArray } from '../array-parameter.ts';
import { holdsEverything, isHeld, isScheduled } from '../delivery-state.ts';

/** Of each webhook so many are counted at the most: 17 ms. */
export const MAX_COUNTED_HELD = 100_000;

export interface HeldCount {
  readonly webhookId: string;
  /** What is held, and what is still scheduled and will be held; no further than MAX_COUNTED_HELD. */
  readonly held: number;
  /** When the oldest one was made; null when nothing is held. */
  readonly oldestHeldAt: Date | null;
}

export async function countHeld(pool: Pool, webhookIds: readonly string[]): Promise<HeldCount[]> {
  const { rows } = await pool.query<HeldCount>({
    name: 'count-held',
    text: statement('$1::text[]'),
    values: [textArray(webhookIds)],
  });
  return rows;
}

/** The same of one webhook, as a transaction sees it. */
export async function countHeldIn(transaction: EntityManager, webhookId: string): Promise<Omit<HeldCount, 'webhookId'>> {
  const [row] = await transaction.execute<HeldCount[]>(statement('array[?]::text[]'), [webhookId]);
  const oldest = row?.oldestHeldAt ?? null;
  return { held: row?.held ?? 0, oldestHeldAt: oldest === null ? null : new Date(oldest) };
}

const statement = (webhookIds: string): string => `
select w.id as "webhookId", c.count as held, (
    select d.created_at from deliveries d where d.webhook_id = w.id and ${isHeld} order by d.id limit 1
  ) as "oldestHeldAt"
from webhook_endpoints w cross join lateral (
  select count(*)::integer as count from (
    (select 1 from deliveries d where d.webhook_id = w.id and ${isHeld} limit ${MAX_COUNTED_HELD})
    union all
    (select 1 from deliveries d where ${holdsEverything('w')} and d.webhook_id = w.id and ${isScheduled} limit ${MAX_COUNTED_HELD})
    limit ${MAX_COUNTED_HELD}
  ) x
) c
where w.id = any (${webhookIds})`;
