// Disables a webhook by the service's own decision, and writes it into the webhook's history. What is still pending for it is cancelled after the commit.
import type { Pool, PoolClient } from 'pg';
import type { ChangedField } from '../../domain/webhook-change.ts';

export type DisabledReason = 'gone' | 'failing';

/** Null when it was not active. */
export async function disableWebhook(
  client: Pool | PoolClient,
  webhookId: string,
  reason: DisabledReason,
): Promise<{ webhookId: string; userId: string; reason: DisabledReason } | null> {
  const fields: ChangedField[] = [
    { field: 'is_active', old: true, new: false },
    { field: 'disabled_reason', old: null, new: reason },
  ];
  const result = await client.query<{ user_id: string }>({
    name: 'disable-webhook',
    text: statement,
    values: [webhookId, reason, JSON.stringify(fields)],
  });
  const row = result.rows[0];
  return row === undefined ? null : { webhookId, userId: row.user_id, reason };
}

const statement = `
with disabled as (
  update webhook_endpoints
  set is_active = false, disabled_reason = $2, disabled_at = now(), revision = revision + 1, updated_at = now() at time zone 'utc'
  where id = $1 and is_active and deleted_at is null and ($2 <> 'failing' or on_failing = 'disable')
  returning id, user_id
), noted as (
  insert into webhook_changes (webhook_id, action, fields, reason) select id, 'disabled', $3::jsonb, $2 from disabled
)
select user_id from disabled`;
