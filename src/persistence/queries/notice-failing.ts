// Remembers that the owner of a failing webhook gets a notice, so that there is one for each step of a run of failures, whichever process sees it.
import type { Pool } from 'pg';
import { Hold } from '../delivery-state.ts';
import type { OnFailing } from '../entities/webhook-endpoint.ts';

export interface NoticedFailing {
  readonly userId: string;
  readonly failingSince: Date;
  readonly consecutiveFailures: number;
  readonly onFailing: OnFailing;
}

/** Null: there was one for this step already, or the webhook fails no more, or nothing is sent to it. */
export async function noticeFailing(pool: Pool, webhookId: string, percent: number): Promise<NoticedFailing | null> {
  const { rows } = await pool.query<NoticedFailing>({ name: 'notice-failing', text: statement, values: [webhookId, percent] });
  return rows[0] ?? null;
}

// A success ends a run of failures by clearing `failing_since` alone, so the time of the run says what a notice was about.
const statement = `
update webhook_endpoints set failing_noticed = $2, failing_noticed_since = failing_since
where id = $1 and failing_since is not null and is_active and deleted_at is null and hold <> ${Hold.paused}
  and (failing_noticed_since is distinct from failing_since or failing_noticed < $2)
returning user_id as "userId", failing_since as "failingSince", consecutive_failures as "consecutiveFailures", on_failing as "onFailing"`;
