// The history of webhooks: entries are written in the transaction of the change, and read newest first.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import type { ChangedField, WebhookAction } from '../../domain/webhook-change.ts';

/**
 * Entries of one webhook; the oldest go first. A program that changes a webhook without end fills some megabytes, not the disk.
 */
export const MAX_CHANGES = 5000;
/** Minutes. A program that reads the secret at each request leaves one entry an hour, not thousands. */
const SECRET_READ_MINUTES = 60;

export interface NewChange {
  readonly webhookId: string;
  readonly byUser: string;
  readonly action: WebhookAction;
  readonly fields: readonly ChangedField[];
}

export interface StoredChange {
  /** Later ones are greater. */
  readonly no: string;
  readonly at: Date;
  /** Null: the service did it itself. */
  readonly byUser: string | null;
  readonly action: WebhookAction;
  readonly fields: readonly ChangedField[];
  readonly reason: string | null;
}

export async function insertWebhookChange(
  transaction: EntityManager,
  { webhookId, byUser, action, fields }: NewChange,
): Promise<void> {
  await transaction.execute(
    `with dropped as (
       delete from webhook_changes where webhook_id = ? and no <= (
         select no from webhook_changes where webhook_id = ? order by no desc offset ${MAX_CHANGES - 1} limit 1)
     )
     insert into webhook_changes (webhook_id, by_user, action, fields) values (?, ?, ?, ?::jsonb)`,
    [webhookId, webhookId, webhookId, byUser, action, JSON.stringify(fields)],
  );
}

export async function noteSecretRead(pool: Pool, webhookId: string, byUser: string): Promise<void> {
  await pool.query(
    `insert into webhook_changes (webhook_id, by_user, action)
     select $1::text, $2::text, 'secret_read' where not exists (
       select 1 from webhook_changes where webhook_id = $1 and by_user = $2 and action = 'secret_read'
         and at > now() - make_interval(mins => ${SECRET_READ_MINUTES}))`,
    [webhookId, byUser],
  );
}

/** Newest first. @param beforeNo the last of the page before; null for the first page */
export async function listWebhookChanges(
  pool: Pool,
  webhookId: string,
  beforeNo: string | null,
  limit: number,
): Promise<StoredChange[]> {
  const { rows } = await pool.query<StoredChange>(
    `select no, at, by_user as "byUser", action, fields, reason from webhook_changes
     where webhook_id = $1 and no < coalesce($2::bigint, 9223372036854775807) order by no desc limit $3`,
    [webhookId, beforeNo, limit],
  );
  return rows;
}
