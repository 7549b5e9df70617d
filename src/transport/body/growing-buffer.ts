// Bytes that arrive in pieces, copied into one buffer. A piece that is kept costs some 200 bytes, however short it is, and holds on to
// the 64 KiB that it was read with.
import { ServiceError } from '../../domain/errors.ts';
import type { Ledger } from './body-budget.ts';

/** Pieces that any body may come in, and how long pieces must be on average beyond that: shorter ones cost more than they carry. */
const FREE_PIECES = 4096;
const MIN_PIECE_BYTES = 16;

export class GrowingBuffer {
  #ledger: Ledger;
  #holder: string;
  #held: Buffer | null = null;
  #start = 0;
  #end = 0;
  #pieces = 0;
  #bytes = 0;
  readonly #maxBytes: number;

  /**
   * @param holder whose share of the ledger is charged
   * @param maxBytes most that its user means to hold: no room is made for more before it is needed
   */
  constructor(ledger: Ledger, holder: string, maxBytes = Infinity) {
    this.#ledger = ledger;
    this.#holder = holder;
    this.#maxBytes = maxBytes;
  }

  /** Bytes held. */
  get size(): number {
    return this.#end - this.#start;
  }

  /** The bytes held. Valid until the next `add`. */
  get bytes(): Buffer {
    return this.#held === null ? Buffer.alloc(0) : this.#held.subarray(this.#start, this.#end);
  }

  /** To be called for each piece before it is added or queued. Throws `body_malformed` when there are too many for their bytes. */
  count(piece: Uint8Array): void {
    this.#pieces += 1;
    this.#bytes += piece.length;
    if (this.#pieces > FREE_PIECES + this.#bytes / MIN_PIECE_BYTES) {
      throw new ServiceError('body_malformed', 'The body comes in pieces that are too small.');
    }
  }

  /** Copies the piece behind what is held. Throws `overloaded` when the holder's share is used up. */
  add(piece: Buffer): void {
    if (this.#held === null || this.#end + piece.length > this.#held.length) this.#makeRoom(piece.length);
    this.#end += piece.copy(this.#held as unknown as Buffer, this.#end);
  }

  /** Drops the first bytes. What was read of them stays valid. */
  drop(bytes: number): void {
    this.#start += bytes;
    if (this.size === 0) this.release();
  }

  /** Charges another from now on: the caller became known. Throws `overloaded` when that one's share is used up. */
  charge(ledger: Ledger, holder: string): void {
    const bytes = this.#held?.length ?? 0;
    ledger.take(holder, bytes);
    this.#ledger.give(this.#holder, bytes);
    this.#ledger = ledger;
    this.#holder = holder;
  }

  /** Lets go of everything held. */
  release(): void {
    if (this.#held !== null) this.#ledger.give(this.#holder, this.#held.length);
    this.#held = null;
    this.#start = 0;
    this.#end = 0;
  }

  // What was read may still be in use, so bytes are only ever written behind those held. The first piece gets what it needs: most
  // bodies are one piece. Later ones get twice that, so that a body in many pieces is copied a few times and not once for each. While it is
  // copied both buffers are there, and one is charged: no two bodies are copied at once.
  #makeRoom(bytes: number): void {
    const held = this.#held?.length ?? 0;
    const size = this.size;
    const needed = size + bytes;
    const capacity = this.#held === null ? bytes : Math.max(needed, Math.min(2 * needed, this.#maxBytes));
    if (capacity > held) this.#ledger.take(this.#holder, capacity - held);
    else this.#ledger.give(this.#holder, held - capacity);
    const larger = Buffer.allocUnsafe(capacity);
    this.#held?.copy(larger, 0, this.#start, this.#end);
    this.#held = larger;
    this.#start = 0;
    this.#end = size;
  }
}
