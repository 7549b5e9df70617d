// gRPC's framing: a compression flag and a length in front of every message.
import { malformed, messageTooLarge } from '../body/decode.ts';
import type { GrowingBuffer } from '../body/growing-buffer.ts';

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
  readonly #maxMessageBytes: number;
  readonly #held: GrowingBuffer;
  #isCompressed = false;

  constructor(maxMessageBytes: number, held: GrowingBuffer) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#held = held;
  }

  /** Bytes not taken yet. */
  get size(): number {
    return this.#held.size;
  }

  /** Whether `take` has a message or an error to tell. */
  get isReady(): boolean {
    if (this.size < FRAME_HEADER_BYTES) return false;
    const length = this.#held.bytes.readUInt32BE(1);
    return length > this.#maxMessageBytes || this.size >= FRAME_HEADER_BYTES + length;
  }

  /** Whether the message taken last is compressed. */
  get isCompressed(): boolean {
    return this.#isCompressed;
  }

  add(chunk: Buffer): void {
    this.#held.add(chunk);
  }

  /** The next message; null when it is not complete yet. Throws `payload_too_large`, and `body_malformed` for unknown flags. */
  take(): Buffer | null {
    if (this.size < FRAME_HEADER_BYTES) return null;
    const { bytes } = this.#held;
    const length = bytes.readUInt32BE(1);
    if (length > this.#maxMessageBytes) throw messageTooLarge();
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
}
