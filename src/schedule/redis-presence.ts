// Which processes Redis serves: each reports it in PostgreSQL, so that one that is cut off from Redis leaves alone what others have there.
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';
import { deletePresence, readOthers, writePresence, type OthersPresence } from '../persistence/queries/process-presence.ts';

/** ms. Between two writes of one process. */
const WRITE_INTERVAL_MS = 2000;
/** ms. Two writes may fail or be late. After that the others no longer wait for this process. */
export const DEAD_AFTER_MS = 6000;
/**
 * ms. A look at the others is acted upon for so long after it was requested. A process that returns to Redis waits as long before it
 * claims.
 */
export const LOOK_MS = 500;
/** ms. An older look is repeated, so that there is time left to act upon it. */
const FRESH_MS = LOOK_MS / 2;

export interface Look extends OthersPresence {
  /** When it was requested, on the monotonic clock. */
  readonly askedAt: number;
  /** When Redis can last have served a claim of another process, on the monotonic clock; rather too late than too early. */
  readonly claimedAt: number;
}

export interface PresenceState {
  readonly isServed: boolean;
  readonly claimedAgoMs: number;
}

export class RedisPresence {
  readonly #pool: Pool;
  readonly #claims: boolean;
  readonly #onError: (error: unknown) => void;
  readonly #id = randomUUID();
  readonly #reports: PeriodicTask;
  #state: () => PresenceState = () => ({ isServed: false, claimedAgoMs: 0 });
  #writing: Promise<void> = Promise.resolve();
  #look: Promise<Look> | null = null;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    readonly pool: Pool;
    /** Whether this process sends deliveries. */
    readonly claims: boolean;
    readonly onError: (error: unknown) => void;
  }) {
    this.#pool = options.pool;
    this.#claims = options.claims;
    this.#onError = options.onError;
    this.#reports = new PeriodicTask(() => this.write(), WRITE_INTERVAL_MS, options.onError);
  }

  /** @param state read at each write */
  start(state: () => PresenceState): void {
    this.#state = state;
    void this.#reports.start();
  }

  async drain(): Promise<void> {
    await this.#reports.drain();
    await this.#writing.catch(() => undefined);
    await deletePresence(this.#pool, this.#id).catch(this.#onError);
  }

  /** Writes the present state at once; one write at a time, so that none overtakes a later one. */
  write(): Promise<void> {
    const write = (): Promise<void> => writePresence(this.#pool, { id: this.#id, claims: this.#claims, ...this.#state() });
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }

  /** The reports of the others, at most FRESH_MS old. Rejects when PostgreSQL does not serve. */
  look(): Promise<Look> {
    if (this.#look === null || performance.now() > this.#lookedAt + FRESH_MS) this.#look = this.lookAgain();
    return this.#look;
  }

  /** Their reports from now on. */
  async lookAgain(): Promise<Look> {
    const askedAt = performance.now();
    this.#lookedAt = askedAt;
    const others = await readOthers(this.#pool, this.#id, DEAD_AFTER_MS);
    return { ...others, askedAt, claimedAt: performance.now() - (others.claimedAgoMs ?? Infinity) };
  }
}
