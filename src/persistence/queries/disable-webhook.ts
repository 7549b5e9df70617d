// Disables a webhook by the service's own decision, and writes it into the webhook's history. What is still pending for it is cancelled after the commit.
import type { Pool, PoolClient } from 'pg';
import type { ChangedField } from '../../domain/webhook-change.ts';
import { Hold } from '../delivery-state.ts';

export type DisabledReason = 'gone' | 'failing';

/**
 * Null when it was not active.
 * @param probeAfterMs when it is probed for the first time; null: it is not
 */
export async function disableWebhook(
  client: Pool | PoolClient,
  webhookId: string,
  reason: DisabledReason,
  probeAfterMs: number | null = null,
): Promise<{ webhookId: string; userId: string; reason: DisabledReason } | null> {
  const fields: ChangedField[] = [
    { field: 'is_active', old: true, new: false },
    { field: 'disabled_reason', old: null, new: reason },
  ];
  const result = await client.query<{ user_id: string }>({
    name: 'disable-webhook',
    text: statement,
    values: [webhookId, reason, JSON.stringify(fields), probeAfterMs],
  });
  const row = result.rows[0];
  return row === undefined ? null : { webhookId, userId: row.user_id, reason };
}

// What is paused is not disabled for failing: what is held for it would be cancelled.
const statement = `
with disabled as (
  update webhook_endpoints
  set is_active = false, disabled_reason = $2, disabled_at = now(), next_probe_at = now() + $4::float8 * interval '1 millisecond',
    revision = revision + 1, updated_at = now() at time zone 'utc'
  where id = $1 and is_active and deleted_at is null and ($2 <> 'failing' or (on_failing = 'disable' and hold <> ${Hold.paused}))
  returning id, user_id
), noted as (
  insert into webhook_changes (webhook_id, action, fields, reason) select id, 'disabled', $3::jsonb, $2 from disabled
)
select user_id from disabled`;

/**
 * Makes it final that a webhook is disabled: it was for failing, and its receiver has answered a probe with 410. Answers whose it is; null when it
 * was changed since.
 */
export async function closeGone(pool: Pool, webhookId: string, revision: number): Promise<string | null> {
  const fields: ChangedField[] = [{ field: 'disabled_reason', old: 'failing', new: 'gone' }];
  const values = [webhookId, revision, JSON.stringify(fields)];
  const { rows } = await pool.query<{ user_id: string }>({ name: 'close-gone', text: close, values });
  return rows[0]?.user_id ?? null;
}

const close = `
with closed as (
  update webhook_endpoints
  set disabled_reason = 'gone', disabled_at = now(), next_probe_at = null, revision = revision + 1, updated_at = now() at time zone 'utc'
  where id = $1 and revision = $2 and not is_active and disabled_reason = 'failing' and deleted_at is null
  returning id, user_id
), noted as (
  insert into webhook_changes (webhook_id, action, fields, reason) select id, 'disabled', $3::jsonb, 'gone' from closed
)
select user_id from closed`;
