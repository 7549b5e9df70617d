// The messages of a gRPC stream, read no faster than they are taken.
import type { Readable } from 'node:stream';
import type { DescMessage, Message } from '@bufbuild/protobuf';
import type { BodyOptions } from './body.ts';
import { malformed } from './decode.ts';
import { GrowingBuffer } from './growing-buffer.ts';
import { unreadableMessage } from './lone-items.ts';
import { isTooLarge } from './size-limits.ts';
import type { Principal } from '../../security/tokens.ts';
import { FRAME_HEADER_BYTES, FrameBuffer } from './grpc-frames.ts';

/** Bytes held for a stream whose messages are not taken: what Node reads at once. A single message may be larger. */
const MAX_BUFFERED_BYTES = 65_536;

/** Reads one message; throws what its caller is sent. */
export type Decode = (bytes: Buffer, isCompressed: boolean) => Message;

export interface MessagesOptions extends BodyOptions {
  readonly schema: DescMessage;
  readonly decode: Decode;
}

type Taken = IteratorResult<Message, undefined>;

/** Messages are decoded when they are asked for, one at a time, so none waits here as an object. */
export class GrpcMessages implements AsyncIterableIterator<Message, undefined> {
  readonly #stream: Readable;
  readonly #options: MessagesOptions;
  readonly #held: GrowingBuffer;
  readonly #frames: FrameBuffer;
  #asking: { resolve(taken: Taken): void; reject(reason: unknown): void } | null = null;
  #isEnded = false;
  #stopped: { readonly reason: unknown } | null = null;

  constructor(stream: Readable, options: MessagesOptions) {
    this.#stream = stream;
    this.#options = options;
    const maxBytes = options.limit.maxBytes + FRAME_HEADER_BYTES + MAX_BUFFERED_BYTES;
    this.#held = new GrowingBuffer(options.budget.strangers, options.address, maxBytes);
    this.#frames = new FrameBuffer(options.limit, this.#held);
    countPieces(stream, this.#held, (reason) => this.stop(reason));
    stream.on('data', (chunk: Buffer) => this.#add(chunk));
    // A stream without a message may have ended before this code listened.
    this.#isEnded = stream.readableEnded;
    stream.on('end', () => {
      this.#isEnded = true;
      this.#answer();
    });
  }

  /** What is held counts for `caller` from now on; null: the address goes on being charged. Throws `overloaded`. */
  charge(caller: Principal | null): void {
    if (caller !== null) this.#held.charge(this.#options.budget.users, caller.userId);
  }

  /** What is not taken by now never will be: a later read throws the reason, and what still comes is dropped. */
  stop(reason: unknown): void {
    if (this.#stopped !== null) return;
    this.#stopped = { reason };
    this.#stream.resume();
    this.#answer();
    this.#frames.release();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Not to be called again before it has resolved. */
  next(): Promise<Taken> {
    return new Promise((resolve, reject) => {
      this.#asking = { resolve, reject };
      this.#answer();
    });
  }

  async return(): Promise<Taken> {
    return { done: true, value: undefined };
  }

  #add(chunk: Buffer): void {
    if (this.#stopped !== null) return;
    try {
      this.#frames.add(chunk);
    } catch (thrown) {
      return this.stop(thrown);
    }
    this.#answer();
    if (this.#frames.size >= MAX_BUFFERED_BYTES && this.#frames.isReady) this.#stream.pause();
  }

  #answer(): void {
    const asking = this.#asking;
    if (asking === null) return;
    try {
      const taken = this.#take();
      if (taken === null) return;
      this.#asking = null;
      asking.resolve(taken);
    } catch (thrown) {
      this.#asking = null;
      asking.reject(thrown);
    }
    if (this.#stream.isPaused() && this.#frames.size < MAX_BUFFERED_BYTES) this.#stream.resume();
  }

  #take(): Taken | null {
    if (this.#stopped !== null) throw this.#stopped.reason;
    const value = this.#read();
    if (value !== null) return { done: false, value };
    if (!this.#isEnded) return null;
    if (this.#frames.isAmid) throw malformed();
    return { done: true, value: undefined };
  }

  // A message that is too large is one that cannot be read, where each of the stream fails alone.
  #read(): Message | null {
    try {
      const bytes = this.#frames.take();
      return bytes === null ? null : this.#options.decode(bytes, this.#frames.isCompressed);
    } catch (thrown) {
      const message = isTooLarge(thrown) ? unreadableMessage(this.#options.schema, thrown) : null;
      if (message === null) throw thrown;
      return message;
    }
  }
}

// Also those that Node queues while the stream is paused: each is an object there, and a window holds a million of one byte.
function countPieces(stream: Readable, held: GrowingBuffer, refuse: (reason: unknown) => void): void {
  const push = stream.push.bind(stream);
  let isRefused = false;
  stream.push = (piece: unknown, encoding?: BufferEncoding): boolean => {
    if (!(piece instanceof Uint8Array)) return push(piece, encoding);
    try {
      if (!isRefused) held.count(piece);
    } catch (thrown) {
      isRefused = true;
      refuse(thrown);
    }
    return isRefused || push(piece, encoding);
  };
}
