// Work that is repeated until its part drains.
import { pause } from './pause.ts';

/** Runs `task` again and again, `intervalMs` apart, until the signal aborts. A task that throws is reported and tried again. */
export async function repeat(
  task: () => Promise<void>,
  intervalMs: number,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await task();
    } catch (error) {
      onError(error);
    }
    await pause(intervalMs, signal);
  }
}

/** A task that runs again and again, `intervalMs` apart, from start to drain. A run that throws is reported, and the next one follows. */
export class PeriodicTask {
  readonly #run: () => Promise<void>;
  readonly #intervalMs: number;
  readonly #onError: (error: unknown) => void;
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(run: () => Promise<void>, intervalMs: number, onError: (error: unknown) => void) {
    this.#run = run;
    this.#intervalMs = intervalMs;
    this.#onError = onError;
  }

  /** Aborts when the task drains, so that a long run can end between its steps. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Begins the first run, and does not wait for it. */
  start(): Promise<void> {
    this.#loop = repeat(this.#run, this.#intervalMs, this.signal, this.#onError);
    return Promise.resolve();
  }

  /** Resolves when the present run has ended. No other follows. */
  async drain(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }
}
