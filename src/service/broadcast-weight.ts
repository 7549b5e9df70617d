// What a broadcast counts for in its queue: the time that the last ones took, in the queue's own unit, bytes.

/** Broadcasts that wait take so long together, in milliseconds: those in the queue are written before their callers give up. */
export const MAX_QUEUE_MS = 5000;
/** What one statement of broadcasts takes, in milliseconds: others can wait for locks and cores so long. */
export const MAX_STATEMENT_MS = 500;
/** What each is taken to need before the first was written, in milliseconds: twenty thousand webhooks on a slow machine. */
const FIRST_GUESS_MS = 1000;
/** How much of it is forgotten with each cheaper one. It rises at once: a queue that is too long is worse than one that is too short. */
const FORGOTTEN = 0.1;

export class BroadcastWeight {
  readonly #bytesPerMs: number;
  #eachMs = FIRST_GUESS_MS;

  /** @param maxPendingBytes what may wait in all; it is taken to last MAX_QUEUE_MS */
  constructor(maxPendingBytes: number) {
    this.#bytesPerMs = maxPendingBytes / MAX_QUEUE_MS;
  }

  /** Of one broadcast, without its payload. */
  get bytes(): number {
    return this.#eachMs * this.#bytesPerMs;
  }

  /** What one statement may hold. */
  get maxStatementBytes(): number {
    return MAX_STATEMENT_MS * this.#bytesPerMs;
  }

  learn(broadcasts: number, durationMs: number): void {
    if (broadcasts > 0) this.#eachMs = Math.max(durationMs / broadcasts, this.#eachMs * (1 - FORGOTTEN));
  }
}
