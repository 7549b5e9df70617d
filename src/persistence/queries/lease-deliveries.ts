// The statement that holds deliveries which their process is about to try, when PostgreSQL serves the schedule.
import type { Pool, PoolClient } from 'pg';
import { textArray } from '../array-parameter.ts';
import type { ClaimedRow } from './claim-due.ts';

/** Holds those of the deliveries that nobody else holds; the others are left out of the answer. */
export async function leaseDeliveries(
  client: Pool | PoolClient,
  ids: readonly string[],
  leaseMs: number,
): Promise<ClaimedRow[]> {
  const result = await client.query<[string, string, number, number]>({
    name: 'lease-deliveries',
    text: statement,
    rowMode: 'array',
    // Sorted, so that two batches that share rows cannot deadlock.
    values: [textArray(ids.toSorted()), leaseMs],
  });
  return result.rows.map(([deliveryId, webhookId, leasedUntilMs, expirations]) => ({
    deliveryId,
    webhookId,
    leasedUntilMs,
    expirations,
  }));
}

const statement = `
update deliveries d set
  leased_until = date_trunc('milliseconds', now() + $2::float8 * interval '1 millisecond'),
  lease_expirations = d.lease_expirations + (d.leased_until is not null)::integer
where d.id = any ($1::text[]) and d.status in ('pending', 'retrying') and (d.leased_until is null or d.leased_until <= now())
returning d.id, d.webhook_id, (extract(epoch from d.leased_until) * 1000)::float8, d.lease_expirations`;
