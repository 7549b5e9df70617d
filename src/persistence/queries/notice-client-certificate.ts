// Notes that the owner of a webhook was notified of the near end of its client certificate.
import type { Pool } from 'pg';

/** Answers whose the webhook is; null when its owner was notified of this certificate before. */
export async function noticeClientCertificate(pool: Pool, webhookId: string): Promise<string | null> {
  const { rows } = await pool.query<{ user_id: string }>({
    name: 'notice-client-certificate',
    text: statement,
    values: [webhookId],
  });
  return rows[0]?.user_id ?? null;
}

const statement = `
update webhook_endpoints set client_certificate_noticed_at = now()
where id = $1 and deleted_at is null and client_certificate is not null and client_certificate_noticed_at is null
returning user_id`;
