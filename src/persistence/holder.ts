// The holder: this process as the one that its leases name. While its session lives, so do its leases; when that ends, the leader ends
// them.
import { randomUUID } from 'node:crypto';
import type { Client, ClientConfig } from 'pg';
import { KeptSession } from './kept-session.ts';
import { APPLICATION_NAME } from './queries/horizon.ts';
import { deleteHolder, retakeNumber, takeNumber } from './queries/holders.ts';

/** ms. Between two checks of the session, or tries to get a new one. Other processes give this one up after two seconds. */
const CHECK_INTERVAL_MS = 500;
/** Numbers tried in one check: of 999, most are free. */
const MAX_TRIES = 20;

export interface HolderOptions {
  readonly connection: ClientConfig;
  readonly leaseMs: number;
  readonly onError: (error: unknown) => void;
}

/**
 * A frozen process keeps its session, since its kernel answers for it, and so its leases until they run out. A dead one loses the session
 * at once, or in some ten seconds when its machine is gone. Without a session it has no number, and its new leases can only run out.
 */
export class Holder {
  readonly name = 'holder';
  readonly #session: KeptSession;
  readonly #leaseMs: number;
  #taken: { readonly id: string; readonly number: number } | null = null;
  #hasLock = false;
  #lostUntil = Number.NEGATIVE_INFINITY;

  constructor({ connection, leaseMs, onError }: HolderOptions) {
    this.#leaseMs = leaseMs;
    this.#session = new KeptSession({
      connection,
      intervalMs: CHECK_INTERVAL_MS,
      check: async (client) => {
        if (this.#hasLock) await client.query('select 1');
        else await this.#take(client);
      },
      onLost: () => {
        this.#hasLock = false;
      },
      onError,
    });
  }

  /** What new leases carry; 0 while this process has no session. */
  get number(): number {
    return this.#hasLock ? (this.#taken?.number ?? 0) : 0;
  }

  /**
   * Failed attempts are recorded under it, and refused once others may attempt what this process had leased. Null: it never had a number.
   */
  get id(): string | null {
    return this.#taken?.id ?? null;
  }

  /** Whether others may attempt this delivery before its lease runs out: this process was declared dead after it leased it. */
  isLost(lease: { readonly expiresAt: number }): boolean {
    return lease.expiresAt <= this.#lostUntil;
  }

  /** Resolves after the first try, whatever came of it. */
  start(): Promise<void> {
    return this.#session.start();
  }

  /** To be called when this process has no lease left. */
  async drain(): Promise<void> {
    await this.#session.drain(async (client) => {
      if (this.#taken !== null) await deleteHolder(client, this.#taken.id);
    });
    this.#hasLock = false;
  }

  async #take(client: Client): Promise<void> {
    if (this.#taken !== null) {
      const state = await retakeNumber(client, this.#taken.id, this.#taken.number);
      if (state === 'busy') return;
      if (state === 'ended') {
        this.#lostUntil = performance.now() + this.#leaseMs;
        this.#taken = null;
      }
    }
    for (let tries = 0; this.#taken === null && tries < MAX_TRIES; tries += 1) {
      const id = randomUUID();
      const number = await takeNumber(client, id);
      if (number !== null) this.#taken = { id, number };
    }
    if (this.#taken === null) return;
    await client.query(`select set_config('application_name', $1, false)`, [
      `${APPLICATION_NAME} holder ${this.#taken.number}`,
    ]);
    this.#hasLock = this.#session.isPresent(client);
  }
}
