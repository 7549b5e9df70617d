// The order in which the parts of a process start, and the opposite one in which they stop.

export interface Stage {
  readonly start?: () => Promise<void> | void;
  /** Called once, and only after `start` has succeeded. */
  readonly drain?: () => Promise<unknown> | void;
}

export class Stages {
  readonly #stages: { readonly name: string; readonly stage: Stage }[] = [];
  readonly #started: { readonly name: string; readonly stage: Stage }[] = [];
  readonly #onDrainError: (name: string, error: unknown) => void;
  #starting: Promise<void> = Promise.resolve();
  #drained: Promise<void> | null = null;

  /** @param onDrainError called with a part that could not stop as it should; the others are stopped all the same */
  constructor(onDrainError: (name: string, error: unknown) => void) {
    this.#onDrainError = onDrainError;
  }

  add(name: string, stage: Stage): void {
    this.#stages.push({ name, stage });
  }

  /** Starts one part after the other. Rejects when a part does not start, after those before it have stopped again. */
  async start(): Promise<void> {
    this.#starting = this.#startAll();
    try {
      await this.#starting;
    } catch (error) {
      await this.drain();
      throw error;
    }
  }

  /** Stops the parts that have started, the last one first. A start under way goes no further. Never rejects; a second call waits too. */
  drain(): Promise<void> {
    this.#drained ??= this.#drainAll();
    return this.#drained;
  }

  async #startAll(): Promise<void> {
    for (const part of this.#stages) {
      if (this.#drained !== null) return;
      await part.stage.start?.();
      this.#started.push(part);
    }
  }

  async #drainAll(): Promise<void> {
    // The part that is starting right now must be stopped as well.
    await this.#starting.catch(() => {});
    for (const { name, stage } of this.#started.toReversed()) {
      try {
        await stage.drain?.();
      } catch (error) {
        this.#onDrainError(name, error);
      }
    }
  }
}
