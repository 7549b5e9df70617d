// Gives leases back: those that end in one turn of the event loop in one statement.
import type { Leased, Scheduler, Settlement } from '../schedule/scheduler.ts';

/** Leases of one statement: of what waits in a process thousands may end in the same moment. */
const MAX_RELEASE = 500;
/** How often a lease is given back when the store does not take it: for 30 s, about as long as leases live. */
const RELEASE_TRIES = 60;
/** ms between two of these tries. */
const RETRY_INTERVAL_MS = 500;

export interface LeaseReleaserOptions {
  readonly scheduler: Pick<Scheduler, 'release'>;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** Called when a lease could not be ended: it runs out. */
  readonly onGivenUp: (error: unknown) => void;
}

export class LeaseReleaser {
  readonly #options: LeaseReleaserOptions;
  /** To be ended with the next statement. */
  #waiting: Settlement[] = [];
  #releasing: Promise<void> | null = null;

  constructor(options: LeaseReleaserOptions) {
    this.#options = options;
  }

  /** @param delayMs until they may be claimed again; null: they have ended */
  release(leases: readonly Leased[], delayMs: number | null): void {
    const dueAtMs = delayMs === null ? null : this.#options.now() + delayMs;
    this.end(leases.map(({ deliveryId, webhookId, leasedIn, token }) => ({ deliveryId, webhookId, leasedIn, token, dueAtMs })));
  }

  // Together with all that end in this turn: one statement each would keep commits waiting for a connection.
  end(settlements: readonly Settlement[]): void {
    if (settlements.length === 0) return;
    for (const settlement of settlements) this.#waiting.push(settlement);
    this.#releasing ??= this.#releaseAll();
  }

  /** Resolves once each was tried. */
  async idle(): Promise<void> {
    await this.#releasing;
  }

  async #releaseAll(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#tryRelease(this.#waiting.splice(0, MAX_RELEASE));
    this.#releasing = null;
  }

  // Tried again when it failed: a lease that runs out counts as an attempt that killed its process. It is fenced, so it may come late.
  async #tryRelease(settlements: readonly Settlement[], triesLeft = RELEASE_TRIES): Promise<void> {
    try {
      await this.#options.scheduler.release(settlements);
    } catch (error) {
      if (triesLeft > 1) {
        setTimeout(() => void this.#tryRelease(settlements, triesLeft - 1), RETRY_INTERVAL_MS).unref();
        return;
      }
      this.#options.onGivenUp(error);
    }
  }
}
