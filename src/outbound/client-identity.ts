// The certificate that a webhook shows to its receiver, ready for handshakes.
import { createHash, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { BoundedMap } from '../bounded-map.ts';

/** Contexts kept; one takes tens of kilobytes, and making it again a millisecond. */
const MAX_CONTEXTS = 1000;

export interface ClientIdentity {
  /** Differs for every certificate and key: connections that showed one serve no request of another. */
  readonly id: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  /** When the certificate ends, in milliseconds since 1970. */
  readonly endsAtMs: number;
}

export function clientIdentity(certificate: string, key: string): ClientIdentity {
  const id = createHash('sha256')
    .update(JSON.stringify([certificate, key]))
    .digest('base64url');
  return { id, certificate, key, endsAtMs: new X509Certificate(certificate).validToDate.getTime() };
}

export class IdentityContexts {
  readonly #ca: readonly string[] | undefined;
  readonly #contexts = new BoundedMap<string, SecureContext>(MAX_CONTEXTS);

  /** @param ca certificates trusted instead of the usual ones, in PEM */
  constructor(ca: readonly string[] | undefined) {
    this.#ca = ca;
  }

  of({ id, certificate, key }: ClientIdentity): SecureContext {
    let context = this.#contexts.get(id);
    if (context === undefined) {
      context = secureContext(this.#ca, { cert: certificate, key });
      this.#contexts.set(id, context);
    }
    return context;
  }
}

/** What every handshake with a receiver goes by. */
export function secureContext(
  ca: readonly string[] | undefined,
  identity: { readonly cert: string; readonly key: string } | null = null,
): SecureContext {
  return createSecureContext({ minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca: [...ca] }), ...identity });
}
