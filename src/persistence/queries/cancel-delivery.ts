// Cancels one delivery whose webhook was closed while the event was being published.
import type { Pool } from 'pg';

export async function cancelDelivery(pool: Pool, deliveryId: string): Promise<void> {
  await pool.query({ name: 'cancel-delivery', text: statement, values: [deliveryId] });
}

const statement = `
update deliveries set status = case when delivered_at is null then 'cancelled' else 'delivered' end, next_attempt_at = null, updated_at = clock_timestamp()
where id = $1 and status in ('pending', 'retrying')`;
