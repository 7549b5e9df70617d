// The body of one request, gathered from its first byte, and given to the call once its caller is known.
import type { Readable } from 'node:stream';
import { ServiceError } from '../../domain/errors.ts';
import type { Principal } from '../../security/tokens.ts';
import type { BodyBudget } from './body-budget.ts';
import { GrowingBuffer } from './growing-buffer.ts';
import type { SizeLimit } from './size-limits.ts';

export interface BodyOptions {
  /** A longer body is refused as it says. */
  readonly limit: SizeLimit;
  readonly budget: BodyBudget;
  /** The caller's. */
  readonly address: string;
}

/** Bytes are taken off the connection as they come, so that none wait in Node's queues, where each piece is an object. */
export class Body {
  readonly #options: BodyOptions;
  readonly #maxBytes: number;
  readonly #gathered: GrowingBuffer;
  #state: 'open' | 'whole' | 'stopped' = 'open';
  #failure: unknown = null;
  #waiting: { resolve(bytes: Buffer): void; reject(reason: unknown): void } | null = null;

  /** @param framingBytes what stands around the message in the body */
  constructor(source: Readable, options: BodyOptions, framingBytes = 0) {
    this.#options = options;
    this.#maxBytes = options.limit.maxBytes + framingBytes;
    this.#gathered = new GrowingBuffer(options.budget.strangers, options.address, this.#maxBytes);
    source.on('data', (piece: Buffer) => this.#take(piece));
    source.on('end', () => this.#finish());
    // An empty body may have ended before this code listened.
    if (source.readableEnded) this.#finish();
    source.on('close', () => this.stop(null));
    source.on('error', (cause) => this.stop(gone(cause)));
  }

  /**
   * Resolves to the whole body. What is still to come counts for `caller`; null: the caller is not known yet, and the address is charged. Not to be
   * called twice. Rejects with the limit's refusal, `overloaded`, or the reason it was stopped for.
   */
  whole(caller: Principal | null): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      try {
        if (this.#state === 'open' && caller !== null) this.#gathered.charge(this.#options.budget.users, caller.userId);
      } catch (thrown) {
        this.stop(thrown);
      }
      this.#answer();
    });
  }

  /** To be called when the call was answered: nothing is held for it any more. */
  end(): void {
    this.#stop(null);
  }

  /** What still comes is dropped, and so is what came: the call learns the reason. */
  stop(reason: unknown): void {
    if (this.#state === 'open') this.#stop(reason);
  }

  #stop(reason: unknown): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#failure = reason;
    this.#answer();
    this.#gathered.release();
  }

  #take(piece: Buffer): void {
    if (this.#state !== 'open') return;
    try {
      this.#gathered.count(piece);
      if (this.#gathered.size + piece.length > this.#maxBytes) throw this.#options.limit.refusal();
      this.#gathered.add(piece);
    } catch (thrown) {
      this.stop(thrown);
    }
  }

  #finish(): void {
    if (this.#state !== 'open') return;
    this.#state = 'whole';
    this.#answer();
  }

  #answer(): void {
    const waiting = this.#waiting;
    if (waiting === null || this.#state === 'open') return;
    this.#waiting = null;
    if (this.#state === 'stopped') return waiting.reject(this.#failure ?? gone());
    waiting.resolve(this.#gathered.bytes);
    this.#gathered.release();
  }
}

function gone(cause?: unknown): ServiceError {
  return new ServiceError('request_canceled', 'The caller went away.', { cause });
}
