// How much memory the bodies of unfinished requests may take: one budget for callers who are known, another for callers who are not yet.
import { ServiceError } from '../../domain/errors.ts';

/** One user's share of what known callers may upload at once: two of the largest batches, so that no user's uploads refuse another's. */
const BATCHES_OF_A_USER = 2;
/** How many such shares there are in all. With batches of 16 MiB that is 128 MiB, an eighth of the heap's limit. */
const SHARES = 4;
/** What arrives while tokens are checked. A check takes less than a millisecond; three seconds while the key server is slow. */
const STRANGERS_BYTES = 33_554_432;
/** One address's share of it: a few large messages, or hundreds of usual ones. */
const STRANGER_BYTES = 4_194_304;
/** Uploads of others end within that time. */
const RETRY_AFTER_MS = 1000;

/** Bytes held by many, with a limit for each of them and one for all. */
export class Ledger {
  readonly #maxBytes: number;
  readonly #maxBytesEach: number;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(maxBytes: number, maxBytesEach: number) {
    this.#maxBytes = maxBytes;
    this.#maxBytesEach = maxBytesEach;
  }

  /** Bytes held by all. */
  get total(): number {
    return this.#total;
  }

  /** Bytes held by one. */
  heldBy(holder: string): number {
    return this.#held.get(holder) ?? 0;
  }

  /** Throws `overloaded` when these bytes would be too many, and then counts none of them. */
  take(holder: string, bytes: number): void {
    const held = this.heldBy(holder) + bytes;
    if (held > this.#maxBytesEach) throw overloaded('Too much of this caller');
    if (this.#total + bytes > this.#maxBytes) throw overloaded('Too much');
    this.#held.set(holder, held);
    this.#total += bytes;
  }

  /** Gives back what was taken. */
  give(holder: string, bytes: number): void {
    const left = this.heldBy(holder) - bytes;
    if (left > 0) this.#held.set(holder, left);
    else this.#held.delete(holder);
    this.#total -= bytes;
  }
}

export interface BodyBudget {
  /** By user id. */
  readonly users: Ledger;
  /** By address. */
  readonly strangers: Ledger;
}

/** One for the process: both listeners share it. What strangers may hold does not grow with the size of a batch. */
export function createBodyBudget({ maxBatchBytes }: { readonly maxBatchBytes: number }): BodyBudget {
  const userBytes = BATCHES_OF_A_USER * maxBatchBytes;
  return { users: new Ledger(SHARES * userBytes, userBytes), strangers: new Ledger(STRANGERS_BYTES, STRANGER_BYTES) };
}

function overloaded(what: string): ServiceError {
  return new ServiceError('overloaded', `${what} is being uploaded at once; try again in a second.`, {
    retryAfterMs: RETRY_AFTER_MS,
  });
}
