// The statements that say how much each webhook keeps while it is paused, for the leader: what is held, and what waits behind that for its turn.
import type { Pool } from 'pg';
import { Hold, isHeld, isWaiting } from '../delivery-state.ts';

/** Webhooks of one statement. One that holds 100,000 takes 17 ms. */
const PAGE = 100;

export interface HeldMeasure {
  readonly webhookId: string;
  /** Counted no further than one more than was asked for. */
  readonly held: number;
  /** Behind what is held, for its turn; counted so that both together are no more than one beyond what was asked for. */
  readonly waiting: number;
  /** Since the oldest of them was made, in seconds; 0 when nothing is held. */
  readonly oldestSeconds: number;
}

/** A page of the webhooks that may hold something, behind `afterId`. A page that is empty is the last. */
export async function measureHeld(pool: Pool, afterId: string, countedTo: number): Promise<HeldMeasure[]> {
  const { rows } = await pool.query<HeldMeasure>({ name: 'measure-held', text: measure, values: [afterId, countedTo + 1] });
  return rows;
}

const measure = `
select w.id as "webhookId", c.count as held, b.count as waiting, coalesce((
    select extract(epoch from now() - d.created_at) from deliveries d where d.webhook_id = w.id and ${isHeld} order by d.id limit 1
  ), 0)::float8 as "oldestSeconds"
from (
  select id from webhook_endpoints where hold <> ${Hold.none} and id > $1 order by id limit ${PAGE}
) w cross join lateral (
  select count(*)::integer as count from (
    select 1 from deliveries d where d.webhook_id = w.id and ${isHeld} limit $2
  ) x
) c cross join lateral (
  select count(*)::integer as count from (
    select 1 from deliveries d where d.webhook_id = w.id and ${isWaiting} limit $2 - c.count
  ) x
) b
order by w.id`;

/** The youngest delivery that is kept beyond the `max` youngest of a webhook; null when it keeps no more than these. Of a million: about a second. */
export async function youngestBeyond(pool: Pool, webhookId: string, max: number): Promise<string | null> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'youngest-held-beyond',
    text: `select id from (
        select d.id from deliveries d where d.webhook_id = $1 and ${isHeld}
        union all
        select d.id from deliveries d where d.webhook_id = $1 and ${isWaiting}
      ) d order by id desc offset $2 limit 1`,
    values: [webhookId, max],
  });
  return rows[0]?.id ?? null;
}
