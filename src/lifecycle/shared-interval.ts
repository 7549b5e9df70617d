// Many moments looked at together, in rounds: cheaper than a timer for each.

/**
 * Looks at something every `intervalMs` for as long as there is something to look at: cheaper than a timer for each thing that has a time.
 * Does not keep the process alive; what is looked at does.
 */
export class SharedInterval {
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
