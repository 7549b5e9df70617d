// The answers of a gRPC stream: what is ready in one turn of the event loop leaves as one piece.
import type { ServerHttp2Stream } from 'node:http2';
import type { OutgoingHttpHeaders } from 'node:http';
import { toConnectError } from '../call/errors.ts';
import { ANSWER_HEADERS, isGone, refuse, stopSending } from './call.ts';
import { frame, FRAME_HEADER_BYTES } from '../body/grpc-frames.ts';
import { errorTrailers } from './trailers.ts';

/** More than this does not wait for the end of the turn. */
const MAX_WAITING_BYTES = 65_536;

export class GrpcAnswers {
  readonly #stream: ServerHttp2Stream;
  readonly #requestId: string;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #endOfTurn: NodeJS.Immediate | null = null;

  constructor(stream: ServerHttp2Stream, requestId: string) {
    this.#stream = stream;
    this.#requestId = requestId;
  }

  /** Whether the caller has to read before there may be more. */
  get isFull(): boolean {
    return this.#stream.writableNeedDrain;
  }

  add(message: Uint8Array): void {
    this.#waiting.push(message);
    this.#waitingBytes += FRAME_HEADER_BYTES + message.length;
    if (this.#waitingBytes >= MAX_WAITING_BYTES) this.#flush();
    else this.#endOfTurn ??= setImmediate(() => this.#flush());
  }

  /** Resolves when there may be more, or when the caller is gone. */
  room(): Promise<void> {
    const stream = this.#stream;
    return new Promise((resolve) => {
      const done = (): void => {
        stream.off('drain', done);
        stream.off('aborted', done);
        stream.off('close', done);
        resolve();
      };
      if (!this.isFull || isGone(stream)) return resolve();
      stream.on('drain', done);
      stream.on('aborted', done);
      stream.on('close', done);
    });
  }

  end(trailers: OutgoingHttpHeaders = { 'grpc-status': '0' }): void {
    const framed = this.#take();
    const stream = this.#stream;
    if (isGone(stream)) return;
    this.#sendHeaders();
    stream.once('wantTrailers', () => {
      stream.sendTrailers(trailers);
      stopSending(stream);
    });
    stream.end(framed);
  }

  /** What was answered before goes out first. */
  fail(thrown: unknown): void {
    if (!this.#stream.headersSent && this.#waiting.length === 0) refuse(this.#stream, this.#requestId, thrown);
    else this.end(errorTrailers(toConnectError(thrown, this.#requestId)));
  }

  #flush(): void {
    const framed = this.#take();
    if (isGone(this.#stream)) return;
    this.#sendHeaders();
    this.#stream.write(framed);
  }

  #take(): Buffer {
    if (this.#endOfTurn !== null) clearImmediate(this.#endOfTurn);
    this.#endOfTurn = null;
    const framed = frame(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    return framed;
  }

  #sendHeaders(): void {
    if (this.#stream.headersSent) return;
    this.#stream.respond({ ...ANSWER_HEADERS, 'x-request-id': this.#requestId }, { waitForTrailers: true });
  }
}
