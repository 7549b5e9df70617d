// The messages of a gRPC stream, read no faster than they are taken.
import type { ServerHttp2Stream } from 'node:http2';
import { fromBinary } from '@bufbuild/protobuf';
import type { DescMessage, Message } from '@bufbuild/protobuf';
import { READ_OPTIONS } from '../connect-options.ts';
import { FrameBuffer, malformed } from './frames.ts';

/** Bytes held for a stream whose messages are not taken: what Node reads at once. A single message may be larger. */
const MAX_HELD_BYTES = 65_536;

type Taken = IteratorResult<Message, undefined>;

/** Messages are decoded when they are asked for, one at a time, so none waits here as an object. */
export class GrpcMessages implements AsyncIterableIterator<Message, undefined> {
  readonly #stream: ServerHttp2Stream;
  readonly #schema: DescMessage;
  readonly #frames: FrameBuffer;
  #asking: { resolve(taken: Taken): void; reject(reason: unknown): void } | null = null;
  #isEnded = false;
  #stopped: { readonly reason: unknown } | null = null;

  constructor(stream: ServerHttp2Stream, schema: DescMessage, maxMessageBytes: number) {
    this.#stream = stream;
    this.#schema = schema;
    this.#frames = new FrameBuffer(maxMessageBytes);
    stream.on('data', (chunk: Buffer) => this.#add(chunk));
    stream.on('end', () => {
      this.#isEnded = true;
      this.#answer();
    });
  }

  /** What is not taken by now never will be: whoever asks learns the reason, and what still comes is dropped. */
  stop(reason: unknown): void {
    if (this.#stopped !== null) return;
    this.#stopped = { reason };
    this.#stream.resume();
    this.#answer();
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
    this.#frames.add(chunk);
    this.#answer();
    if (this.#frames.size >= MAX_HELD_BYTES && this.#frames.isReady) this.#stream.pause();
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
    if (this.#stream.isPaused() && this.#frames.size < MAX_HELD_BYTES) this.#stream.resume();
  }

  #take(): Taken | null {
    if (this.#stopped !== null) throw this.#stopped.reason;
    const bytes = this.#frames.take();
    if (bytes !== null) return { done: false, value: decode(this.#schema, bytes) };
    if (!this.#isEnded) return null;
    if (this.#frames.size > 0) throw malformed();
    return { done: true, value: undefined };
  }
}

function decode(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes, READ_OPTIONS);
  } catch (thrown) {
    throw malformed(thrown);
  }
}
