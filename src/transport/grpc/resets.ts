// Rapid reset (CVE-2023-44487): streams that are opened and reset cost their client nothing and us a stream each. Calls that are
// cancelled look the same on the wire; this distinguishes the two.
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Place } from '../listener/connection-places.ts';
import { isGone } from './call.ts';

/** Resets that are not the end of a known caller's call: so many at once … */
const RESET_BURST = 50;
/** … and so many each second after that. */
const RESETS_PER_SECOND = 33;

/**
 * Counts the resets of one connection and ends it when there are too many. A stream counts that was reset before it became a call, or
 * while no authenticated call had come over its connection. Deadlines that end together do not: a caller with 256 calls may cancel all of them.
 */
export class Resets {
  readonly #session: ServerHttp2Session;
  readonly #place: () => Place | undefined;
  #left = RESET_BURST;
  #countedAtMs = performance.now();
  #last: ServerHttp2Stream | undefined;
  /** Streams found gone when the next was opened: their turn to begin comes yet. */
  readonly #counted = new WeakSet<ServerHttp2Stream>();

  constructor(session: ServerHttp2Session, place: () => Place | undefined) {
    this.#session = session;
    this.#place = place;
  }

  /**
   * Takes a stream in before it is a call. Looks at the one before it at once: all streams of one packet are opened before any of
   * them has closed in Node's sense. False: there were too many, and the connection is gone.
   */
  opened(stream: ServerHttp2Stream): boolean {
    if (this.#session.destroyed) return false;
    if (this.#last !== undefined && isGone(this.#last)) this.#neverBegan(this.#last);
    this.#last = stream;
    return !this.#session.destroyed;
  }

  /** Whether the stream is still there to become a call. */
  begins(stream: ServerHttp2Stream): boolean {
    if (this.#last === stream) this.#last = undefined;
    if (isGone(stream)) {
      this.#neverBegan(stream);
      return false;
    }
    stream.once('close', () => {
      const wasReset = stream.aborted || stream.rstCode !== 0;
      if (wasReset && this.#place()?.isKnown !== true) this.#count();
    });
    return true;
  }

  #neverBegan(stream: ServerHttp2Stream): void {
    if (this.#counted.has(stream)) return;
    this.#counted.add(stream);
    this.#count();
  }

  #count(): void {
    const nowMs = performance.now();
    const regained = ((nowMs - this.#countedAtMs) / 1000) * RESETS_PER_SECOND;
    this.#left = Math.min(RESET_BURST, this.#left + regained) - 1;
    this.#countedAtMs = nowMs;
    if (this.#left < 0) this.#session.destroy();
  }
}
