// One timer for many things that have a time.

/**
 * Looks at these things every `intervalMs`, as long as there are any. A timer for each would cost more. It does not keep the process alive.
 */
export class SharedInterval {
  readonly #intervalMs: number;
  readonly #look: () => boolean;
  #timer: NodeJS.Timeout | null = null;

  /** @param look returns whether anything is left */
  constructor(intervalMs: number, look: () => boolean) {
    this.#intervalMs = intervalMs;
    this.#look = look;
  }

  /** To be called whenever something is added. Does nothing while the interval runs. */
  begin(): void {
    this.#timer ??= setInterval(() => this.#goRound(), this.#intervalMs).unref();
  }

  #goRound(): void {
    if (this.#look() || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
