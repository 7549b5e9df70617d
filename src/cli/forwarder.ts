// The forwarder: POSTs a delivery to a URL on the developer's machine, as the service would to a receiver, and says what came of it.
import { readEnv, toConfig } from '../config.ts';
import { signHeaders, type SigningKey } from '../security/signature.ts';
import { printable } from './connection.ts';

/** A handler on the developer's own machine gets as long as a receiver in production does by default. */
const TIMEOUT_MS = 30_000;

export interface Forwardable {
  readonly deliveryId: string;
  readonly eventType: string;
  readonly attemptNumber: number;
  readonly schemaVersion?: number | undefined;
  /** The exact text that is sent and signed. */
  readonly body: string;
}

export class Forwarder {
  readonly #url: string;
  readonly #key: SigningKey;

  constructor(url: string, key: SigningKey) {
    this.#url = url;
    this.#key = key;
  }

  /** Resolves to the answer, or to why there was none; never rejects. */
  async post(delivery: Forwardable, signal: AbortSignal): Promise<string> {
    const startedAt = performance.now();
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: headersOf(delivery, this.#key),
        body: delivery.body,
        redirect: 'manual',
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      await response.body?.cancel();
      return `${response.status} ${printable(response.statusText)}  ${Math.round(performance.now() - startedAt)} ms`;
    } catch (error) {
      return reasonOf(error);
    }
  }
}

function headersOf(delivery: Forwardable, key: SigningKey): Record<string, string> {
  const { delivery: config, version } = toConfig(readEnv());
  const { deliveryId, eventType, attemptNumber, schemaVersion, body } = delivery;
  return {
    ...signHeaders({
      keys: [key],
      deliveryId,
      body,
      timestampSeconds: Math.floor(Date.now() / 1000),
      homechefHeaderName: config.signatureHeader,
    }),
    'content-type': 'application/json',
    'user-agent': `HomeChef-Webhooks/${version}`,
    'x-homechef-event': eventType,
    'x-homechef-delivery': deliveryId,
    'x-homechef-attempt': String(attemptNumber),
    ...(schemaVersion === undefined ? {} : { 'x-homechef-schema-version': String(schemaVersion) }),
  };
}

// fetch has the real reason only in its cause.
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const { cause } = error as { cause?: { code?: string; message?: string } };
  if (cause?.code === 'ECONNREFUSED') return 'no program listens there';
  return printable(cause?.message ?? error.message);
}
