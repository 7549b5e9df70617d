// Places for watchers: how many streams and WebSockets a process has open, and one user of it.
import { ServiceError } from '../domain/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** Watchers of one process: each costs some 20 kB with its socket. */
const MAX_WATCHERS = 10_000;

/** Counts the watchers of deliveries and of events together. */
export class WatcherPlaces {
  readonly #maxPerUser: number;
  readonly #taken = new Map<string, number>();
  #count = 0;

  constructor(options: { readonly maxPerUser: number; readonly metrics: Metrics }) {
    this.#maxPerUser = options.maxPerUser;
    options.metrics.gauge('watchers', () => this.#count);
  }

  /** Takes a place for this caller, who gives it back with release(). Throws `resource_exhausted` (watcher_limit_reached, overloaded). */
  take(caller: string): void {
    const taken = this.#taken.get(caller) ?? 0;
    if (taken >= this.#maxPerUser) {
      const message = `You may have ${this.#maxPerUser} streams and WebSockets open; close one first.`;
      throw new ServiceError('watcher_limit_reached', message);
    }
    if (this.#count >= MAX_WATCHERS) {
      throw new ServiceError('overloaded', 'This process has as many watchers as it takes; try another.');
    }
    this.#taken.set(caller, taken + 1);
    this.#count += 1;
  }

  release(caller: string): void {
    const left = (this.#taken.get(caller) ?? 1) - 1;
    if (left === 0) this.#taken.delete(caller);
    else this.#taken.set(caller, left);
    this.#count -= 1;
  }
}
