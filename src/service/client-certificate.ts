// The client certificate of a webhook: checked when it is written, its key sealed and never shown again.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { invalid } from '../domain/errors.ts';
import type { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import type { Owner, SecretBox } from '../security/secret-box.ts';

/** A leaf, its issuers and a root: longer chains are a mistake, and each is sent with every handshake. */
const MAX_CHAIN = 6;
const CERTIFICATE = 'client_certificate.certificate';
const KEY = 'client_certificate.key';

export interface ClientCertificateInput {
  /** PEM: the certificate, and the chain behind it. */
  readonly certificate: string;
  /** PEM; empty keeps the stored key, beside the stored certificate alone. */
  readonly key: string;
}

type Stored = Pick<WebhookEndpoint, 'clientCertificate' | 'clientKey' | 'clientCertificateNoticedAt'>;

export const noClientCertificate = { clientCertificate: null, clientKey: null, clientCertificateNoticedAt: null } as const;

/**
 * Checks and seals a certificate with its key. Throws `field_invalid` for what is no certificate or no key, does not belong together or has expired.
 * @param stored what the webhook has now
 */
export function sealClientCertificate(
  box: SecretBox,
  owner: Owner,
  input: ClientCertificateInput,
  stored: Stored = noClientCertificate,
): Stored {
  const certificate = canonicalChain(input.certificate);
  if (input.key === '' && certificate === stored.clientCertificate) return stored;
  const leaf = new X509Certificate(certificate);
  const nowMs = Date.now();
  if (leaf.validToDate.getTime() <= nowMs)
    throw invalid('field_invalid', CERTIFICATE, `has expired on ${leaf.validToDate.toISOString()}`);
  if (input.key === '') throw invalid('field_invalid', KEY, 'is missing: a new certificate comes with its key');
  const key = privateKey(input.key);
  if (!leaf.checkPrivateKey(key)) throw invalid('field_invalid', KEY, 'is not the key of this certificate');
  const pem = key.export({ format: 'pem', type: 'pkcs8' });
  checkUsable(certificate, pem);
  return {
    clientCertificate: certificate,
    clientKey: box.seal('client_key', owner, pem),
    clientCertificateNoticedAt: null,
  };
}

/** Throws `field_invalid`: over plain HTTP no certificate is shown, and its owner believes that one is. */
export function requireHttps(webhook: Pick<WebhookEndpoint, 'url' | 'clientCertificate'>): void {
  if (webhook.clientCertificate == null || webhook.url.startsWith('https:')) return;
  throw invalid('field_invalid', 'client_certificate', 'needs an https url: without TLS no certificate is shown');
}

/** When a stored certificate ends. */
export function endOfCertificate(certificate: string): Date {
  return new X509Certificate(certificate).validToDate;
}

/** Of a stored certificate, as the history shows it. */
export function describeCertificate(certificate: string): string {
  const { subject, validToDate } = new X509Certificate(certificate);
  return `${subject.replaceAll('\n', ', ')}, until ${validToDate.toISOString()}`;
}

// Certificates alone: a key that was pasted with them is not stored in plain text.
function canonicalChain(text: string): string {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw invalid('field_invalid', CERTIFICATE, 'holds no certificate in PEM');
  if (blocks.length > MAX_CHAIN) throw invalid('field_invalid', CERTIFICATE, `holds more than ${MAX_CHAIN} certificates`);
  try {
    return blocks.map((block) => new X509Certificate(block).toString()).join('');
  } catch {
    throw invalid('field_invalid', CERTIFICATE, 'holds a certificate that cannot be read');
  }
}

function privateKey(text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    throw invalid('field_invalid', KEY, 'is no private key in PEM, or is under a passphrase');
  }
}

// What OpenSSL does not take, as a key that is too short, would fail each attempt.
function checkUsable(cert: string, key: string): void {
  try {
    createSecureContext({ cert, key });
  } catch {
    throw invalid('field_invalid', CERTIFICATE, 'cannot be used for TLS: its key or its signature is too weak');
  }
}
