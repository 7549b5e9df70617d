// gRPC's framing: a compression flag and a length in front of every message.
import { ServiceError } from '../../domain/errors.ts';

export const FRAME_HEADER_BYTES = 5;

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

export function messageTooLarge(): ServiceError {
  return new ServiceError('resource_exhausted', 'payload_too_large', 'The message is larger than this service reads.');
}

export function malformed(cause?: unknown): ServiceError {
  return new ServiceError('invalid_argument', 'body_malformed', 'The request is not one well-formed protobuf message.', {
    cause,
  });
}

/** Takes bytes in whatever pieces they come and gives back what was in the frames. */
export class FrameBuffer {
  readonly #maxMessageBytes: number;
  #held: Buffer = Buffer.alloc(0);
  #start = 0;
  #end = 0;

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /** Bytes not taken yet. */
  get size(): number {
    return this.#end - this.#start;
  }

  /** Whether `take` has a message or an error to tell. */
  get isReady(): boolean {
    if (this.size < FRAME_HEADER_BYTES) return false;
    const length = this.#length();
    return length > this.#maxMessageBytes || this.size >= FRAME_HEADER_BYTES + length;
  }

  /** What was taken may still be in use, so bytes are only ever written behind those held. */
  add(chunk: Buffer): void {
    if (this.size === 0) {
      this.#held = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      return;
    }
    const size = this.size + chunk.length;
    if (this.#end + chunk.length > this.#held.length) {
      // Twice what is needed, so that a message in many pieces is copied a few times and not once for each.
      const larger = Buffer.allocUnsafe(2 * size);
      this.#held.copy(larger, 0, this.#start, this.#end);
      this.#end = this.size;
      this.#start = 0;
      this.#held = larger;
    }
    chunk.copy(this.#held, this.#end);
    this.#end += chunk.length;
  }

  /** The next message; null when it is not complete yet. Throws `payload_too_large`, and `body_malformed` for one that is compressed. */
  take(): Buffer | null {
    if (this.size < FRAME_HEADER_BYTES) return null;
    const length = this.#length();
    if (length > this.#maxMessageBytes) throw messageTooLarge();
    if (this.size < FRAME_HEADER_BYTES + length) return null;
    if (this.#held[this.#start] !== 0) throw malformed();
    const from = this.#start + FRAME_HEADER_BYTES;
    this.#start = from + length;
    return this.#held.subarray(from, this.#start);
  }

  #length(): number {
    return this.#held.readUInt32BE(this.#start + 1);
  }
}
