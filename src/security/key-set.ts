// The public keys of JWT_JWKS_URL: fetched when they are needed, bounded in bytes and time, and kept while their server is away.
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import { ServiceError } from '../domain/errors.ts';

/** A set of ten RSA keys has 5 kB. */
const MAX_BYTES = 1_048_576;
/** For the whole answer. Calls whose key is missing wait for it, all for the same one. */
const TIMEOUT_MS = 3000;
/** So old a set is fetched again, beside the calls: they go on with the old one. */
const MAX_AGE_MS = 600_000;
/** A key that the set lacks has it fetched again, not more often than this: any caller can name keys that do not exist. */
const REFRESH_PAUSE_MS = 30_000;
/** After a failure, doubled with each further one: 5, 10, 20, 30 s. */
const MIN_COOL_DOWN_MS = 5000;
const MAX_COOL_DOWN_MS = 30_000;

/** Called for each fetch that failed. */
export type OnKeyServerFailure = (error: unknown) => void;

export class RemoteKeySet {
  readonly #url: string;
  readonly #onFailure: OnKeyServerFailure;
  #keys: JWTVerifyGetKey | null = null;
  #fetchedAtMs = 0;
  #failures = 0;
  /** Nothing is fetched before. */
  #coolUntilMs = 0;
  #fetching: Promise<void> | null = null;

  constructor(url: string, onFailure: OnKeyServerFailure = () => {}) {
    this.#url = url;
    this.#onFailure = onFailure;
  }

  /**
   * The key that a token names, for jose. Throws `keys_unavailable` when it is not in the set and the set cannot be fetched: the token
   * may be good.
   */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    if (this.#keys === null) await this.#fetch();
    else if (Date.now() - this.#fetchedAtMs > MAX_AGE_MS && !this.#isCooling) this.#fetch().catch(() => {});
    try {
      return await this.#known(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      if (this.#failures === 0 && Date.now() - this.#fetchedAtMs < REFRESH_PAUSE_MS) throw error;
      await this.#fetch();
      return await this.#known(header, token);
    }
  };

  #known(...[header, token]: Parameters<JWTVerifyGetKey>): ReturnType<JWTVerifyGetKey> {
    if (this.#keys === null) throw new errors.JWKSNoMatchingKey();
    return this.#keys(header, token);
  }

  get #isCooling(): boolean {
    return Date.now() < this.#coolUntilMs;
  }

  /** One fetch at a time, however many wait for it. */
  async #fetch(): Promise<void> {
    if (this.#fetching === null && this.#isCooling) throw unavailable(this.#coolUntilMs - Date.now());
    this.#fetching ??= this.#load().finally(() => (this.#fetching = null));
    await this.#fetching;
  }

  async #load(): Promise<void> {
    try {
      this.#keys = createLocalJWKSet(await download(this.#url));
      this.#fetchedAtMs = Date.now();
      this.#failures = 0;
    } catch (error) {
      const coolDownMs = Math.min(MIN_COOL_DOWN_MS * 2 ** this.#failures, MAX_COOL_DOWN_MS);
      this.#failures += 1;
      this.#coolUntilMs = Date.now() + coolDownMs;
      this.#onFailure(error);
      throw unavailable(coolDownMs, error);
    }
  }
}

// Redirects are not followed: who may redirect could choose the keys.
async function download(url: string): Promise<JSONWebKeySet> {
  const response = await fetch(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: { accept: 'application/json, application/jwk-set+json' },
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the key server answered with status ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error(`the key server answered with more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString()) as JSONWebKeySet;
}

function unavailable(retryAfterMs: number, cause?: unknown): ServiceError {
  const message = 'The key of this token is not known, and the key server does not answer; try again in a moment.';
  return new ServiceError('keys_unavailable', message, { retryAfterMs, cause });
}
