// Things that time out after the same time, with one timer for all of them.
import { SharedInterval } from './shared-interval.ts';

/** ms. How late a timeout may be reported: little beside waits of seconds. */
const WAITS_INTERVAL_MS = 250;

/** Checks what has a time limit in the order of its beginning. A timer for each would cost every call two system calls and its memory. */
export class TimeoutSet<Waiter extends object> {
  readonly #maxMs: number;
  readonly #onOver: (waiter: Waiter) => void;
  /** When each began, on `performance.now()`. */
  readonly #begun = new Map<Waiter, number>();
  readonly #checking = new SharedInterval(WAITS_INTERVAL_MS, () => this.#check());

  /** @param onOver called with each waiter that has waited for `maxMs` and up to WAITS_INTERVAL_MS more; its wait has ended then */
  constructor(maxMs: number, onOver: (waiter: Waiter) => void) {
    this.#maxMs = maxMs;
    this.#onOver = onOver;
  }

  begin(waiter: Waiter, now = performance.now()): void {
    this.#begun.set(waiter, now);
    this.#checking.begin();
  }

  /** Does nothing when it has ended already. */
  end(waiter: Waiter): void {
    this.#begun.delete(waiter);
  }

  #check(): boolean {
    const now = performance.now();
    for (const [waiter, begun] of this.#begun) {
      if (now - begun < this.#maxMs) break;
      this.#begun.delete(waiter);
      this.#onOver(waiter);
    }
    return this.#begun.size > 0;
  }
}
