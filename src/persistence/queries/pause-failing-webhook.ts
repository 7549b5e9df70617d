// Pauses a webhook by the service's own decision, because it fails and its owner wants what it would get to be kept; and writes it into its history.
import type { Pool } from 'pg';
import type { ChangedField } from '../../domain/webhook-change.ts';
import { Hold } from '../delivery-state.ts';

const CHANGED: readonly ChangedField[] = [
  { field: 'paused', old: false, new: true },
  { field: 'paused_reason', old: null, new: 'failing' },
];

/**
 * Answers whose it is; null when it is not to be paused: it is to be disabled instead, or is paused, disabled or deleted already.
 * @param probeAfterMs when it is probed for the first time; null: it is not
 */
export async function pauseFailingWebhook(
  pool: Pool,
  webhookId: string,
  probeAfterMs: number | null = null,
): Promise<string | null> {
  const { rows } = await pool.query<{ user_id: string }>({
    name: 'pause-failing-webhook',
    text: statement,
    values: [webhookId, JSON.stringify(CHANGED), probeAfterMs],
  });
  return rows[0]?.user_id ?? null;
}

// The webhook is locked before its release, as by callers that pause and resume it. The leader then moves what is scheduled into the hold.
const statement = `
with failing as materialized (
  select id, release_id from webhook_endpoints
  where id = $1 and on_failing = 'hold' and is_active and deleted_at is null and hold <> ${Hold.paused} for update
), paused as (
  update webhook_endpoints w set hold = ${Hold.paused}, is_gathering = true, tail_until = null, release_id = null,
    paused_reason = 'failing', paused_at = now(), next_probe_at = now() + $3::float8 * interval '1 millisecond', revision = revision + 1, updated_at = now() at time zone 'utc'
  from failing where w.id = failing.id
  returning w.id, w.user_id, failing.release_id
), ended as (
  update releases set state = 'cancelled', reason = 'webhook_paused', ended_at = clock_timestamp()
  where id = (select release_id from paused) and ended_at is null
), noted as (
  insert into webhook_changes (webhook_id, action, fields, reason) select id, 'paused', $2::jsonb, 'failing' from paused
)
select user_id from paused`;
