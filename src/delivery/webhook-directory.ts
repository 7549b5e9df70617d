// The webhooks as attempts see them: opened secrets and the policy in force, kept in memory until they change.
import type { Pool } from 'pg';
import type { AttemptError } from '../domain/delivery.ts';
import { type FieldMask, fieldMask } from '../domain/field-mask.ts';
import { effectivePolicy, type RetryPolicy } from '../domain/retry-policy.ts';
import { type ClientIdentity, clientIdentity } from '../outbound/client-identity.ts';
import { oauthClient, type OAuthClient } from './oauth-client.ts';
import { loadWebhooks, type StoredWebhook } from '../persistence/queries/load-webhooks.ts';
import { SecretUnreadable, type SecretBox } from '../security/secret-box.ts';
import { signingKey, type SigningKey } from '../security/signature.ts';
import type { ServiceKeys } from './service-keys.ts';

/** The busiest ten thousand. The least recently loaded goes first. */
const MAX_TARGETS = 10_000;
/** All of them together, in bytes: ten thousand with a few headers each, or two thousand with as many as a webhook may have. */
export const MAX_DIRECTORY_BYTES = 32 * 1024 * 1024;
/** What a webhook without headers takes, in bytes. */
const TARGET_BYTES = 2048;
/** Headers are kept as they are stored, and again as the lines of a request. */
const HEADER_COPIES = 2;
/** Paths of a mask are kept as text, and as a tree of maps that takes more. */
const MASK_COPIES = 10;

export interface TargetKey {
  readonly key: SigningKey;
  readonly expiresAtMs: number;
  /** Whether the HomeChef header is made with it while no older one is. */
  readonly signsHeader: boolean;
}

export interface Target {
  readonly id: string;
  readonly userId: string;
  readonly url: string;
  /** Newest first; those of rotated secrets say until when they sign. */
  readonly keys: readonly TargetKey[];
  /** The keys of the service that its requests are signed with, too; null: it asked for none. */
  readonly serviceKeys?: Pick<ServiceKeys, 'signing'> | null;
  readonly customHeaders: Readonly<Record<string, string>>;
  /** What it shows to a receiver that asks for a client certificate; null: nothing. */
  readonly identity?: ClientIdentity | null;
  /** What of a payload its receiver gets; null: all of it. */
  readonly mask?: FieldMask | null;
  /** What gets it an access token of the receiver's token server; null: the receiver asks for none. */
  readonly oauth?: OAuthClient | null;
  readonly policy: RetryPolicy;
  /** Requests a second; 0 means no limit. */
  readonly rateLimit: number;
  readonly revision: number;
  /** Whether anything may be sent to it. */
  readonly isDeliverable: boolean;
  /** Whether all that would be sent to it is held instead. */
  readonly isPaused: boolean;
  /** When the certificate of its receiver ends, where that is known to be soon. */
  readonly certificateExpiresAtMs?: number | null;
  /** Why nothing can be sent to it although it is open. */
  readonly fault: AttemptError | null;
  /** Whether its secrets are under a key that this process was not given: nothing is wrong with the webhook, and nothing can be sent yet. */
  readonly lacksKey: boolean;
}

interface Waiting {
  readonly id: string;
  resolve(target: Target | null): void;
  reject(error: unknown): void;
}

export class WebhookDirectory {
  readonly #pool: Pool;
  readonly #box: SecretBox;
  readonly #defaults: RetryPolicy;
  readonly #serviceKeys: Pick<ServiceKeys, 'ready' | 'check' | 'signing'>;
  readonly #targets = new Map<string, Target>();
  #bytes = 0;
  #waiting: Waiting[] = [];

  constructor(
    pool: Pool,
    box: SecretBox,
    defaults: RetryPolicy,
    serviceKeys: Pick<ServiceKeys, 'ready' | 'check' | 'signing'>,
  ) {
    this.#pool = pool;
    this.#box = box;
    this.#defaults = defaults;
    this.#serviceKeys = serviceKeys;
  }

  /** The webhook, if it is in memory and not older than `revision`. */
  peek(id: string, revision: number): Target | undefined {
    const target = this.#targets.get(id);
    return target !== undefined && target.revision >= revision ? target : undefined;
  }

  /** Loads a webhook; calls of the same turn of the event loop share one select. Null: there is none. */
  load(id: string): Promise<Target | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ id, resolve, reject });
      if (this.#waiting.length === 1) setImmediate(() => void this.#loadWaiting());
    });
  }

  /** To be called when a webhook was changed: the next attempt reads it anew. */
  forget(id: string): void {
    const target = this.#targets.get(id);
    if (target === undefined) return;
    this.#targets.delete(id);
    this.#bytes -= bytesOf(target);
  }

  /** What is in memory: how many webhooks, and how many bytes they take. */
  get size(): { readonly targets: number; readonly bytes: number } {
    return { targets: this.#targets.size, bytes: this.#bytes };
  }

  async #loadWaiting(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      const stored = await loadWebhooks(this.#pool, [...new Set(waiting.map((item) => item.id))]);
      if (stored.some((webhook) => webhook.signsEd25519)) await this.#serviceKeys.ready();
      const loaded = new Map(stored.map((webhook) => [webhook.id, this.#open(webhook)]));
      for (const target of loaded.values()) this.#keep(target);
      for (const item of waiting) item.resolve(loaded.get(item.id) ?? null);
    } catch (error) {
      for (const item of waiting) item.reject(error);
    }
  }

  #keep(target: Target): void {
    this.forget(target.id);
    this.#targets.set(target.id, target);
    this.#bytes += bytesOf(target);
    for (const oldest of this.#targets.keys()) {
      if (this.#targets.size <= MAX_TARGETS && this.#bytes <= MAX_DIRECTORY_BYTES) return;
      this.forget(oldest);
    }
  }

  // A webhook that cannot be opened fails its own deliveries, with a code, and no others.
  #open(stored: StoredWebhook): Target {
    const common = {
      id: stored.id,
      userId: stored.userId,
      url: stored.url,
      policy: effectivePolicy(stored.retryPolicy, this.#defaults),
      rateLimit: stored.rateLimit,
      revision: stored.revision,
      isDeliverable: stored.isDeliverable,
      isPaused: stored.isPaused,
      certificateExpiresAtMs: stored.certificateExpiresAtMs,
    };
    try {
      if (stored.signsEd25519) this.#serviceKeys.check();
      const owner = { userId: stored.userId, webhookId: stored.id };
      const previous = stored.previousSecrets
        .map((secret) => ({
          sealed: secret.sealed,
          expiresAtMs: Date.parse(secret.expires_at),
          signsHeader: secret.signs_header === true,
        }))
        .filter((secret) => secret.expiresAtMs > Date.now());
      const secrets = [{ sealed: stored.sealedSecret, expiresAtMs: Number.POSITIVE_INFINITY, signsHeader: true }, ...previous];
      const headers = stored.sealedHeaders === null ? '{}' : this.#box.open('custom_headers', owner, stored.sealedHeaders);
      return {
        ...common,
        keys: secrets.map(({ sealed, expiresAtMs, signsHeader }) => ({
          key: signingKey(this.#box.open('signing_secret', owner, sealed)),
          expiresAtMs,
          signsHeader,
        })),
        identity: this.#identityOf(stored),
        mask: fieldMask(stored.fields),
        oauth: this.#oauthOf(stored),
        serviceKeys: stored.signsEd25519 ? this.#serviceKeys : null,
        customHeaders: JSON.parse(headers) as Record<string, string>,
        fault: URL.canParse(stored.url) ? null : 'url_invalid',
        lacksKey: false,
      };
    } catch (error) {
      // A row that cannot be read must not fail those that were loaded with it.
      const lacksKey = error instanceof SecretUnreadable && error.why === 'key_unknown';
      return { ...common, keys: [], customHeaders: {}, fault: 'decrypt_failed', lacksKey };
    }
  }

  #identityOf({ id, userId, clientCertificate, sealedClientKey }: StoredWebhook): ClientIdentity | null {
    if (clientCertificate === null || sealedClientKey === null) return null;
    const key = this.#box.open('client_key', { userId, webhookId: id }, sealedClientKey);
    return clientIdentity(clientCertificate, key);
  }

  #oauthOf({ id, userId, oauth, sealedOauthSecret }: StoredWebhook): OAuthClient | null {
    if (oauth === null || sealedOauthSecret === null) return null;
    return oauthClient(oauth, this.#box.open('oauth_secret', { userId, webhookId: id }, sealedOauthSecret));
  }
}

// Characters, not bytes: that is what the text costs in memory, give or take.
function bytesOf({ url, customHeaders, identity, oauth, mask }: Target): number {
  let headers = 0;
  for (const name in customHeaders) headers += name.length + (customHeaders[name]?.length ?? 0);
  const pem = identity == null ? 0 : identity.certificate.length + identity.key.length;
  const client = oauth == null ? 0 : Object.values(oauth).reduce((sum: number, text: string) => sum + text.length, 0);
  const paths = mask == null ? 0 : MASK_COPIES * mask.id.length;
  return TARGET_BYTES + url.length + HEADER_COPIES * headers + pem + client + paths;
}
