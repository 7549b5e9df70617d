// Disables a webhook by the service's own decision and cancels what is still pending for it.
import type { Pool, PoolClient } from 'pg';

export type DisabledReason = 'gone' | 'failing';

/** Null when it was not active any more. */
export async function disableWebhook(
  client: Pool | PoolClient,
  webhookId: string,
  reason: DisabledReason,
): Promise<{ webhookId: string; userId: string; reason: DisabledReason; cancelledDeliveries: number } | null> {
  const result = await client.query<{ user_id: string; cancelled: number }>({
    name: 'disable-webhook',
    text: statement,
    values: [webhookId, reason],
  });
  const row = result.rows[0];
  return row === undefined ? null : { webhookId, userId: row.user_id, reason, cancelledDeliveries: row.cancelled };
}

const statement = `
with disabled as (
  update webhook_endpoints
  set is_active = false, disabled_reason = $2, disabled_at = now(), revision = revision + 1,
    updated_at = now() at time zone 'utc'
  where id = $1 and is_active and deleted_at is null
  returning id, user_id
), cancelled as (
  update deliveries d set status = 'cancelled', next_attempt_at = null, updated_at = clock_timestamp()
  from disabled w where d.webhook_id = w.id and d.status in ('pending', 'retrying')
  returning 1
)
select user_id, (select count(*)::integer from cancelled) as cancelled from disabled`;
