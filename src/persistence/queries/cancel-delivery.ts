// Cancels one delivery whose webhook was closed while the event was being published.
import type { Pool } from 'pg';

export async function cancelDelivery(pool: Pool, deliveryId: string): Promise<void> {
  await pool.query({ name: 'cancel-delivery', text: statement, values: [deliveryId] });
}

/** What was delivered before and was only being sent again stays delivered. */
export const toCancelled = `
  status = case when delivered_at is null then 'cancelled' else 'delivered' end,
  next_attempt_at = null,
  cancelled_at = case when delivered_at is null then now() end,
  changed_at = clock_timestamp()`;

const statement = `
update deliveries set ${toCancelled}
where id = $1 and status in ('pending', 'retrying')`;
