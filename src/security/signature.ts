// Signatures: what proves to a receiver that a request comes from here, and the check that a receiver makes.
import { createHmac, hash, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { signEd25519 } from './service-key.ts';

const PREFIX = 'whsec_';
const NEW_SECRET_BYTES = 32;
/** The lengths that Standard Webhooks allows for a symmetric key. */
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;
/** One signature for each secret still valid; more would only lengthen the header. */
export const MAX_SIGNATURES = 5;
/** How far a receiver lets the clocks disagree, as the Standard Webhooks libraries do. */
export const TOLERANCE_SECONDS = 300;

/** What SHA-256 works on at a time, and what it gives, in bytes. */
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** What is signed without a buffer of its own: nearly every message. */
const SCRATCH_BYTES = 65_536;
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/**
 * HMAC-SHA256 with one key (RFC 2104), in two hashes at once: 1.2 to 1.7 µs for 330 bytes where `createHmac` takes 1.8 to 2.0, and nothing
 * for the garbage collector to finish afterwards (Node 26, 2026-11-27).
 */
class HmacKey {
  readonly #inner: Buffer;
  /** The outer pad, with room for a digest behind it. */
  readonly #outer: Buffer;

  constructor(key: Buffer) {
    const block = Buffer.alloc(BLOCK_BYTES);
    (key.length > BLOCK_BYTES ? hash('sha256', key, 'buffer') : key).copy(block);
    this.#inner = block.map((byte) => byte ^ 0x36) as Buffer;
    this.#outer = Buffer.concat([block.map((byte) => byte ^ 0x5c), Buffer.alloc(DIGEST_BYTES)]);
  }

  /** Of `prefix`, which is ASCII, followed by `body`. */
  sign(prefix: string, body: Buffer, encoding: 'hex' | 'base64'): string {
    const bodyAt = BLOCK_BYTES + prefix.length;
    const size = bodyAt + body.length;
    const message = size <= SCRATCH_BYTES ? scratch.subarray(0, size) : Buffer.allocUnsafe(size);
    message.set(this.#inner);
    message.write(prefix, BLOCK_BYTES, 'latin1');
    message.set(body, bodyAt);
    this.#outer.write(hash('sha256', message, 'latin1'), BLOCK_BYTES, 'latin1');
    return hash('sha256', this.#outer, encoding);
  }
}

/** A secret made ready for signing. Deriving it costs more than a signature, so callers keep it beside the secret. */
export interface SigningKey {
  /** The bytes behind `whsec_`, as Standard Webhooks takes them. */
  readonly standard: HmacKey;
  /** The text as the user sees it, as the HomeChef header takes it. */
  readonly homechef: HmacKey;
}

/** A new secret: `whsec_` and 32 random bytes in base64, the form that the Standard Webhooks libraries read. */
export function newSecret(): string {
  return PREFIX + randomBytes(NEW_SECRET_BYTES).toString('base64');
}

/** The key of a secret. Throws a RangeError, free of the secret, for what is not one. */
export function signingKey(secret: string): SigningKey {
  const encoded = secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : '';
  const bytes = Buffer.from(encoded, 'base64');
  // Buffer skips what is not base64; only what encodes back to the same text was all base64.
  if (bytes.length < MIN_SECRET_BYTES || bytes.length > MAX_SECRET_BYTES || bytes.toString('base64') !== encoded) {
    throw new RangeError(`a signing secret is ${PREFIX} and ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes in base64`);
  }
  return { standard: new HmacKey(bytes), homechef: new HmacKey(Buffer.from(secret)) };
}

export interface ToSign {
  /** Newest first. */
  readonly keys: readonly SigningKey[];
  /** What the HomeChef header is made with; the newest where it is not given. */
  readonly headerKey?: SigningKey;
  /** Of the service, for a webhook that asked for Ed25519 signatures; newest first. */
  readonly serviceKeys?: readonly KeyObject[];
  readonly deliveryId: string;
  /** The bytes that are sent. A Buffer is signed as it is, a string is encoded first. */
  readonly body: Buffer | string;
  /** The moment of the attempt, not of the event: receivers refuse what is older than five minutes. */
  readonly timestampSeconds: number;
}

/** Values of headers. */
export interface Signed {
  /** Of WEBHOOK_SIGNATURE_HEADER. */
  readonly homechef: string;
  /** Of `webhook-timestamp`. */
  readonly timestamp: string;
  /** Of `webhook-signature`. */
  readonly standard: string;
}

/**
 * Signs one attempt. While a secret is being replaced, `webhook-signature` has one signature for each, newest first; the HomeChef
 * header has room for one value. Ed25519 signatures stand behind those of the secrets: a receiver that knows one kind passes over the other.
 */
export function sign(message: ToSign): Signed {
  const [newest] = message.keys;
  if (newest === undefined) throw new RangeError('a message without a signing key would go out unsigned');
  // Twice as fast as handing the string to each hash, which would encode it each time.
  const body = typeof message.body === 'string' ? Buffer.from(message.body) : message.body;
  const timestamp = String(message.timestampSeconds);
  const count = Math.min(message.keys.length, MAX_SIGNATURES);
  let signatures = '';
  for (let i = 0; i < count; i += 1) {
    const key = message.keys[i];
    if (key !== undefined)
      signatures += `${i === 0 ? '' : ' '}v1,${standardSignature(key, message.deliveryId, timestamp, body)}`;
  }
  if (message.serviceKeys !== undefined) {
    if (message.serviceKeys.length === 0)
      throw new RangeError('a message without a service key would go out without its Ed25519 signature');
    for (const key of message.serviceKeys)
      signatures += ` v1a,${signEd25519(key, `${message.deliveryId}.${timestamp}.`, body)}`;
  }
  const homechef = (message.headerKey ?? newest).homechef.sign('', body, 'hex');
  return { homechef: `sha256=${homechef}`, timestamp, standard: signatures };
}

/** The same as headers; `homechefHeaderName` is WEBHOOK_SIGNATURE_HEADER. */
export function signHeaders(message: ToSign & { readonly homechefHeaderName: string }): Record<string, string> {
  const { homechef, timestamp, standard } = sign(message);
  return {
    [message.homechefHeaderName]: homechef,
    'webhook-id': message.deliveryId,
    'webhook-timestamp': timestamp,
    'webhook-signature': standard,
  };
}

export interface ToVerify {
  readonly secret: string;
  /** The header values, names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The body as it arrived, before any parsing. */
  readonly body: Buffer | string;
  readonly nowSeconds: number;
}

/** What a receiver does: true when one of the Standard Webhooks signatures is ours and the timestamp is recent. */
export function verify(message: ToVerify): boolean {
  const id = message.headers['webhook-id'];
  const timestamp = message.headers['webhook-timestamp'];
  const signatures = message.headers['webhook-signature'];
  if (!id || !signatures || timestamp === undefined || !/^\d{1,12}$/.test(timestamp)) return false;
  if (Math.abs(message.nowSeconds - Number(timestamp)) > TOLERANCE_SECONDS) return false;
  const body = typeof message.body === 'string' ? Buffer.from(message.body) : message.body;
  const expected = Buffer.from(`v1,${standardSignature(signingKey(message.secret), id, timestamp, body)}`);
  let found = false;
  for (const signature of signatures.split(' ', MAX_SIGNATURES)) found = equalTexts(Buffer.from(signature), expected) || found;
  return found;
}

/** The check of the HomeChef header, for receivers that use it instead: `sha256=<hex HMAC of the body>`. */
export function verifyHomechef(secret: string, headerValue: string | undefined, body: Buffer | string): boolean {
  if (headerValue === undefined) return false;
  const expected = `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
  return equalTexts(Buffer.from(headerValue), Buffer.from(expected));
}

function standardSignature(key: SigningKey, id: string, timestamp: string, body: Buffer): string {
  return key.standard.sign(`${id}.${timestamp}.`, body, 'base64');
}

// timingSafeEqual throws on unequal lengths; the length is no secret.
function equalTexts(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
