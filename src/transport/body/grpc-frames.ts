// gRPC's framing: a compression flag and a length in front of every message.
import { malformed } from './decode.ts';
import type { GrowingBuffer } from './growing-buffer.ts';
import type { SizeLimit } from './size-limits.ts';

export const FRAME_HEADER_BYTES = 5;
/** The only flag there is. */
const COMPRESSED = 1;

/** The messages, each in its frame, as one piece. */
export function frame(messages: readonly Uint8Array[]): Buffer {
  let size = 0;
  for (const bytes of messages) size += FRAME_HEADER_BYTES + bytes.length;
  const framed = Buffer.allocUnsafe(size);
  let at = 0;
  for (const bytes of messages) {
    framed[at] = 0;
    framed.writeUInt32BE(bytes.length, at + 1);
    framed.set(bytes, at + FRAME_HEADER_BYTES);
    at += FRAME_HEADER_BYTES + bytes.length;
  }
  return framed;
}

/** Takes bytes in whatever pieces they come and gives back what was in the frames. */
export class FrameBuffer {
  readonly #limit: SizeLimit;
  readonly #held: GrowingBuffer;
  #isCompressed = false;
  /** Bytes still to come of a message that was refused: they are dropped, and the one behind it is read. */
  #unwanted = 0;

  constructor(limit: SizeLimit, held: GrowingBuffer) {
    this.#limit = limit;
    this.#held = held;
  }

  /** Bytes not taken yet. */
  get size(): number {
    return this.#held.size;
  }

  /** Whether a message has begun and not ended. */
  get isAmid(): boolean {
    return this.size > 0 || this.#unwanted > 0;
  }

  /** Whether `take` has a message or an error to return. */
  get isReady(): boolean {
    if (this.size < FRAME_HEADER_BYTES) return false;
    const length = this.#held.bytes.readUInt32BE(1);
    return length > this.#limit.maxBytes || this.size >= FRAME_HEADER_BYTES + length;
  }

  /** Whether the message taken last is compressed. */
  get isCompressed(): boolean {
    return this.#isCompressed;
  }

  add(chunk: Buffer): void {
    const dropped = Math.min(this.#unwanted, chunk.length);
    this.#unwanted -= dropped;
    if (dropped < chunk.length) this.#held.add(dropped === 0 ? chunk : chunk.subarray(dropped));
  }

  /**
   * The next message; null when it is not complete yet. Throws `body_malformed` for unknown flags, and the limit's refusal as soon as the
   * length of a message is known; the next call is about the one behind it.
   */
  take(): Buffer | null {
    if (this.size < FRAME_HEADER_BYTES) return null;
    const { bytes } = this.#held;
    const length = bytes.readUInt32BE(1);
    if (length > this.#limit.maxBytes) {
      this.#skip(FRAME_HEADER_BYTES + length);
      throw this.#limit.refusal(length);
    }
    if (bytes.length < FRAME_HEADER_BYTES + length) return null;
    const [flags = 0] = bytes;
    if (flags > COMPRESSED) throw malformed();
    this.#isCompressed = flags === COMPRESSED;
    this.#held.drop(FRAME_HEADER_BYTES + length);
    return bytes.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length);
  }

  /** Lets go of what was not taken. */
  release(): void {
    this.#held.release();
  }

  #skip(bytes: number): void {
    const here = Math.min(bytes, this.size);
    this.#held.drop(here);
    this.#unwanted = bytes - here;
  }
}
