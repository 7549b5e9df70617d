// Many moments looked at together, in rounds: cheaper than a timer for each.

/**
 * Looks at something every `intervalMs` for as long as there is something to look at: cheaper than a timer for each thing that has a time.
 * Does not keep the process alive; what is looked at does.
 */
export class Rounds {
  readonly #intervalMs: number;
  readonly #look: () => boolean;
  #timer: NodeJS.Timeout | null = null;

  /** @param look answers whether anything is left */
  constructor(intervalMs: number, look: () => boolean) {
    this.#intervalMs = intervalMs;
    this.#look = look;
  }

  /** To be called whenever there is something; nothing happens while the rounds are going on. */
  begin(): void {
    this.#timer ??= setInterval(() => this.#goRound(), this.#intervalMs).unref();
  }

  #goRound(): void {
    if (this.#look() || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** How late the end of a wait may be told, in milliseconds: nobody who waits for seconds notices. */
const WAITS_INTERVAL_MS = 250;

/** Waits of one length at most, looked at in the order they began: a timer for each would cost every call two calls and its memory. */
export class Waits<Waiter extends object> {
  readonly #maxMs: number;
  readonly #onOver: (waiter: Waiter) => void;
  /** When each began, on `performance.now()`. */
  readonly #begun = new Map<Waiter, number>();
  readonly #checking = new Rounds(WAITS_INTERVAL_MS, () => this.#check());

  /** @param onOver told of whoever has waited for `maxMs` and up to WAITS_INTERVAL_MS more; that wait has ended then */
  constructor(maxMs: number, onOver: (waiter: Waiter) => void) {
    this.#maxMs = maxMs;
    this.#onOver = onOver;
  }

  begin(waiter: Waiter, now = performance.now()): void {
    this.#begun.set(waiter, now);
    this.#checking.begin();
  }

  /** Nothing happens when it has ended already. */
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
