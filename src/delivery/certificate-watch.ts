// Notices certificates of receivers that are near their end, at the handshakes of ordinary deliveries.
import type { Pool } from 'pg';
import { BoundedMap } from '../bounded-map.ts';
import { CERTIFICATE_WARNING_MS } from '../domain/diagnosis.ts';
import { HOUR_MS } from '../domain/time-units.ts';
import { noteCertificate } from '../persistence/queries/note-certificate.ts';
import type { WebhookDirectory } from './webhook-directory.ts';

/** ms. A name whose addresses show different certificates changes what is noted no more often, by one process. */
const INTERVAL_MS = HOUR_MS;
/** Webhooks of which this process knows when it wrote last. Of others it writes at the next change. */
const MAX_KNOWN = 10_000;

export interface ExpiringCertificate {
  readonly webhookId: string;
  readonly userId: string;
  readonly expiresAtMs: number;
}

export interface CertificateWatchOptions {
  readonly pool: Pool;
  readonly directory: Pick<WebhookDirectory, 'peek'>;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** Called after the commit, whenever what is noted of a webhook has changed. */
  readonly onChanged: (webhookId: string) => void;
  /** Called once for each certificate. */
  readonly onExpiring: (certificate: ExpiringCertificate) => void;
  readonly onError: (error: unknown) => void;
}

/** What is called after each handshake for a webhook: it compares two numbers, and writes where they differ. */
export function createCertificateWatch(options: CertificateWatchOptions): (webhookId: string, endsAtMs: number) => void {
  const written = new BoundedMap<string, number>(MAX_KNOWN);

  async function write(webhookId: string, expiresAtMs: number | null): Promise<void> {
    const userId = await noteCertificate(options.pool, webhookId, expiresAtMs === null ? null : new Date(expiresAtMs));
    if (userId === null) return;
    options.onChanged(webhookId);
    if (expiresAtMs !== null) options.onExpiring({ webhookId, userId, expiresAtMs });
  }

  return (webhookId, endsAtMs) => {
    const nowMs = options.now();
    const expiresAtMs = endsAtMs - nowMs < CERTIFICATE_WARNING_MS ? endsAtMs : null;
    const target = options.directory.peek(webhookId, 0);
    if (target === undefined || (target.certificateExpiresAtMs ?? null) === expiresAtMs) return;
    if (nowMs - (written.get(webhookId) ?? Number.NEGATIVE_INFINITY) < INTERVAL_MS) return;
    written.set(webhookId, nowMs);
    write(webhookId, expiresAtMs).catch((error: unknown) => {
      written.delete(webhookId);
      options.onError(error);
    });
  };
}
