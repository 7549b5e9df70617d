// Requests leave a few at a time: each that leaves alone wakes its receiver, and on the same machine takes the core it came from.

/** So many leave as soon as they are ready; fewer, as soon as nothing else is. */
const TOGETHER = 16;

/** A connection with a request to write. */
export interface BatchedWriter {
  writeNow(): void;
}

export class WriteBatcher {
  #waiting: BatchedWriter[] = [];
  readonly #leave = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const writer of waiting) writer.writeNow();
  };

  /** `writeNow` is called in a later step of this turn of the event loop, or at once for the last of several. */
  add(writer: BatchedWriter): void {
    this.#waiting.push(writer);
    if (this.#waiting.length === 1) setImmediate(this.#leave);
    else if (this.#waiting.length === TOGETHER) this.#leave();
  }
}
