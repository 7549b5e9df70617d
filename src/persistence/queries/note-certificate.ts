// Notes when the certificate of a webhook's receiver ends, or that its end is not near any more.
import type { Pool } from 'pg';

/** Answers whose the webhook is; null when that was known. `expiresAt` is null where the end is not near. */
export async function noteCertificate(pool: Pool, webhookId: string, expiresAt: Date | null): Promise<string | null> {
  const { rows } = await pool.query<{ user_id: string }>({
    name: 'note-certificate',
    text: statement,
    values: [webhookId, expiresAt],
  });
  return rows[0]?.user_id ?? null;
}

const statement = `
update webhook_endpoints set certificate_expires_at = $2
where id = $1 and deleted_at is null and certificate_expires_at is distinct from $2
returning user_id`;
