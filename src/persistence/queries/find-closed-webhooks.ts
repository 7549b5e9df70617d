// The statement that finds closed webhooks with unfinished deliveries.
import type { Pool } from 'pg';
import { isHeld, isLeasedOnInsert, isScheduled, isWaiting } from '../delivery-state.ts';

/** Those that were disabled or deleted, or changed since, within the last `closedWithinMs`; at most `max`. */
export async function findClosedWebhooks(
  pool: Pool,
  request: { readonly closedWithinMs: number; readonly max: number },
): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'find-closed-webhooks',
    text: statement,
    values: [request.closedWithinMs, request.max],
  });
  return rows.map(({ id }) => id);
}

// Along the indexes of what is scheduled and of the youngest deliveries of a webhook: ended deliveries cost nothing.
const statement = `
select w.id from webhook_endpoints w
where (not w.is_active or w.deleted_at is not null)
  and w.updated_at > (now() - $1::float8 * interval '1 millisecond') at time zone 'utc'
  and (exists (select 1 from deliveries d where d.webhook_id = w.id and ${isScheduled})
    or exists (select 1 from deliveries d where d.webhook_id = w.id and ${isLeasedOnInsert})
    or exists (select 1 from deliveries d where d.webhook_id = w.id and ${isHeld})
    or exists (select 1 from deliveries d where d.webhook_id = w.id and ${isWaiting}))
limit $2`;
