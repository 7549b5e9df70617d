// Notices client certificates that are near their end, at the handshakes in which they are shown.
import type { Pool } from 'pg';
import { BoundedMap } from '../bounded-map.ts';
import { CERTIFICATE_WARNING_MS } from '../domain/diagnosis.ts';
import { noticeClientCertificate } from '../persistence/queries/notice-client-certificate.ts';
import type { ExpiringCertificate } from './certificate-watch.ts';
import type { WebhookDirectory } from './webhook-directory.ts';

/** Certificates that this process has noticed. Of others it asks PostgreSQL, which knows whether their owners were notified. */
const MAX_KNOWN = 10_000;

export interface ClientCertificateWatchOptions {
  readonly pool: Pool;
  readonly directory: Pick<WebhookDirectory, 'peek'>;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** Called once for each certificate. */
  readonly onExpiring: (certificate: ExpiringCertificate) => void;
  readonly onError: (error: unknown) => void;
}

/** What is called after each handshake for a webhook. */
export function createClientCertificateWatch(options: ClientCertificateWatchOptions): (webhookId: string) => void {
  const noticed = new BoundedMap<string, string>(MAX_KNOWN);

  async function notice(webhookId: string, expiresAtMs: number): Promise<void> {
    const userId = await noticeClientCertificate(options.pool, webhookId);
    if (userId !== null) options.onExpiring({ webhookId, userId, expiresAtMs });
  }

  return (webhookId) => {
    const identity = options.directory.peek(webhookId, 0)?.identity;
    if (identity == null || identity.endsAtMs - options.now() >= CERTIFICATE_WARNING_MS) return;
    if (noticed.get(webhookId) === identity.id) return;
    noticed.set(webhookId, identity.id);
    notice(webhookId, identity.endsAtMs).catch((error: unknown) => {
      noticed.delete(webhookId);
      options.onError(error);
    });
  };
}
