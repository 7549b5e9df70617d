// The key pairs of the service, opened, for requests that carry an Ed25519 signature. Read when the first webhook that asked for one is loaded.
import type { KeyObject } from 'node:crypto';
import type { Pool } from 'pg';
import { listServiceKeys, type ServiceKeyRow } from '../persistence/queries/service-keys.ts';
import type { SecretBox } from '../security/secret-box.ts';
import { openServiceKey } from '../security/service-key.ts';

/** ms. So old keys are read again, beside the attempts: a new key signs, and one that leaked stops, within that time in every process. */
const MAX_AGE_MS = 10_000;

export interface ServiceKeysOptions {
  readonly pool: Pool;
  readonly box: SecretBox;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

interface OpenedKey {
  readonly key: KeyObject;
  readonly signsUntilMs: number;
}

export class ServiceKeys {
  readonly #options: ServiceKeysOptions;
  #opened: readonly OpenedKey[] | null = null;
  /** What kept a key from being opened. */
  #fault: unknown = null;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | null = null;

  constructor(options: ServiceKeysOptions) {
    this.#options = options;
  }

  /** Resolves once the keys are known that sign at this moment or were a moment ago. Rejects when PostgreSQL does not answer. */
  ready(): Promise<void> {
    return this.#isFresh ? Promise.resolve() : this.#read();
  }

  /** Throws SecretUnreadable when one of them does not open. */
  check(): void {
    if (this.#fault !== null) throw this.#fault;
  }

  /** Those that sign, newest first. */
  signing(): readonly KeyObject[] {
    if (!this.#isFresh) this.#read().catch(this.#options.onError);
    const nowMs = this.#options.now();
    return (this.#opened ?? []).filter(({ signsUntilMs }) => signsUntilMs > nowMs).map(({ key }) => key);
  }

  get #isFresh(): boolean {
    return performance.now() - this.#readAtMs < MAX_AGE_MS;
  }

  #read(): Promise<void> {
    return (this.#reading ??= this.#load().finally(() => (this.#reading = null)));
  }

  async #load(): Promise<void> {
    const rows = await listServiceKeys(this.#options.pool);
    this.#readAtMs = performance.now();
    try {
      this.#opened = rows.map((row) => this.#open(row));
      this.#fault = null;
    } catch (error) {
      this.#fault = error;
    }
  }

  #open(row: ServiceKeyRow): OpenedKey {
    return {
      key: openServiceKey(this.#options.box, row),
      signsUntilMs: row.signsUntil?.getTime() ?? Number.POSITIVE_INFINITY,
    };
  }
}
