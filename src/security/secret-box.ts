// The secret box: what a webhook owner entrusts to us (signing secrets, header values) lies in the database encrypted.
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';

const VERSION = 'v1';
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const GENERATED_KEY_FILE = 'webhook-secret-keys';

/** What a ciphertext is for. It is authenticated, so a ciphertext moved to another column opens nowhere. */
export type Purpose = 'signing_secret' | 'custom_headers' | 'client_key' | 'oauth_secret' | 'answer' | 'service_key';

/** Whose it is: authenticated too, so a ciphertext copied to another webhook or user opens nowhere. */
export type Owner =
  | { readonly userId: string; readonly webhookId: string }
  /** Of a call's first answer: who called, and the key that finds it. */
  | { readonly userId: string; readonly callKey: string }
  /** Of the service itself. */
  | { readonly serviceKeyId: string };

/** A ciphertext that does not open: written under a key we no longer hold, damaged, or moved. Says neither text nor key. */
export class SecretUnreadable extends Error {
  override readonly name = 'SecretUnreadable';
  readonly why: 'malformed' | 'key_unknown' | 'not_authentic';

  constructor(why: SecretUnreadable['why']) {
    super(`a stored secret could not be read: ${why}`);
    this.why = why;
  }
}

/**
 * AES-256-GCM with a random IV. Random IVs are safe for 2^32 texts under one key. A text is sealed when a webhook is made or rotated, and for each
 * change that is made with an idempotency key: at a hundred a second a key lasts for 497 days.
 */
export class SecretBox {
  readonly #keys = new Map<string, KeyObject>();
  readonly #primaryId: string;
  readonly #primary: KeyObject;

  /** `keys` are `id:base64`, newest first: the first seals, all open. */
  constructor(keys: readonly string[]) {
    for (const text of keys) {
      const [id = '', encoded = ''] = text.split(':');
      const bytes = Buffer.from(encoded, 'base64');
      if (bytes.length !== KEY_BYTES || !/^[A-Za-z0-9_-]{1,32}$/.test(id))
        throw new RangeError('a secret key is id:base64 of 32 bytes');
      if (!this.#keys.has(id)) this.#keys.set(id, createSecretKey(bytes));
    }
    const [first] = this.#keys;
    if (first === undefined) throw new RangeError('a secret box needs a key');
    [this.#primaryId, this.#primary] = first;
  }

  /** `v1:<key id>:<base64url of iv, ciphertext, tag>`: at most 199 characters for the longest signing secret, so it fits varchar(255). */
  seal(purpose: Purpose, owner: Owner, plaintext: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.#primary, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(associatedData(purpose, owner, this.#primaryId));
    const sealed = Buffer.concat([iv, cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return `${VERSION}:${this.#primaryId}:${sealed.toString('base64url')}`;
  }

  /** Throws SecretUnreadable for anything that was not sealed for this purpose and owner under a key we hold. */
  open(purpose: Purpose, owner: Owner, text: string): string {
    const [version, keyId, encoded, ...rest] = text.split(':');
    if (version !== VERSION || keyId === undefined || encoded === undefined || rest.length > 0)
      throw new SecretUnreadable('malformed');
    const sealed = Buffer.from(encoded, 'base64url');
    if (sealed.length < IV_BYTES + TAG_BYTES || sealed.toString('base64url') !== encoded)
      throw new SecretUnreadable('malformed');
    const key = this.#keys.get(keyId);
    if (key === undefined) throw new SecretUnreadable('key_unknown');
    const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(associatedData(purpose, owner, keyId));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const plaintext = decipher.update(sealed.subarray(IV_BYTES, -TAG_BYTES));
    try {
      return Buffer.concat([plaintext, decipher.final()]).toString('utf8');
    } catch {
      throw new SecretUnreadable('not_authentic');
    }
  }

  holds(keyId: string): boolean {
    return this.#keys.has(keyId);
  }

  /** Whether a text waits for a key that is not held, and nothing else is known to be wrong with it. */
  lacksKeyOf(text: string): boolean {
    const [version, keyId] = text.split(':');
    return version === VERSION && keyId !== undefined && !this.#keys.has(keyId);
  }

  /** True for a text under any key but the newest: the re-encryption job takes those. */
  needsReseal(text: string): boolean {
    return !text.startsWith(`${VERSION}:${this.#primaryId}:`);
  }
}

// JSON rather than joined text: no choice of user and webhook id can be read as another pair.
function associatedData(purpose: Purpose, owner: Owner, keyId: string): Buffer {
  if ('serviceKeyId' in owner) return Buffer.from(JSON.stringify([VERSION, keyId, owner.serviceKeyId, purpose]));
  const thing = 'webhookId' in owner ? owner.webhookId : owner.callKey;
  return Buffer.from(JSON.stringify([VERSION, keyId, owner.userId, thing, purpose]));
}

/**
 * The configured keys; without any (development only, see config.ts) one made once and kept in DATA_DIR, readable by its owner
 * only. Losing that file loses every stored secret, which is why production must configure its own.
 */
export function loadOrCreateKeys(config: Pick<Config, 'secretKeys' | 'dataDir'>): readonly string[] {
  if (config.secretKeys.length > 0) return config.secretKeys;
  mkdirSync(config.dataDir, { recursive: true });
  const path = join(config.dataDir, GENERATED_KEY_FILE);
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `dev:${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flush: true });
  try {
    // A link fails when the name is taken, so of several processes starting together all read the key of the first, whole.
    linkSync(draft, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    unlinkSync(draft);
  }
  return readFileSync(path, 'utf8')
    .trim()
    .split(/[\s,]+/);
}
