// Disables a webhook by the service's own decision. What is still pending for it is cancelled after the commit.
import type { Pool, PoolClient } from 'pg';

export type DisabledReason = 'gone' | 'failing';

/** Null when it was not active. */
export async function disableWebhook(
  client: Pool | PoolClient,
  webhookId: string,
  reason: DisabledReason,
): Promise<{ webhookId: string; userId: string; reason: DisabledReason } | null> {
  const result = await client.query<{ user_id: string }>({
    name: 'disable-webhook',
    text: statement,
    values: [webhookId, reason],
  });
  const row = result.rows[0];
  return row === undefined ? null : { webhookId, userId: row.user_id, reason };
}

const statement = `
update webhook_endpoints
set is_active = false, disabled_reason = $2, disabled_at = now(), revision = revision + 1, updated_at = now() at time zone 'utc'
where id = $1 and is_active and deleted_at is null and ($2 <> 'failing' or on_failing = 'disable')
returning user_id`;
