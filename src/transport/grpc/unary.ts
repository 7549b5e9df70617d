// Unary gRPC calls, read and answered on Node's HTTP/2 streams directly. Measured here, Connect's own handler takes 370 µs of CPU for
// such a call, grpc-js 110 µs; publishers make thousands a second. Streams have `stream.ts`; everything else gRPC goes through Connect.
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMethodUnary, Message } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { parseTimeout } from '@connectrpc/connect/protocol-grpc';
import { ServiceError } from '../../domain/errors.ts';
import { Waits } from '../../rounds.ts';
import type { CallerAddress } from '../caller-address.ts';
import { newCallValues, requestIdFrom, setProblem } from '../call-context.ts';
import { READ_OPTIONS } from '../connect-options.ts';
import { deadlineExceeded } from '../errors.ts';
import { addressOf, ANSWER_HEADERS, callInput, isGone, plainCalls, refuse } from './call.ts';
import { frame, FRAME_HEADER_BYTES, malformed, messageTooLarge } from './frames.ts';
import type { ServiceEntry } from '../router.ts';
import { unaryCall } from '../unary-call.ts';
import type { UnaryCall } from '../unary-call.ts';

export interface GrpcUnaryOptions {
  readonly entries: readonly ServiceEntry[];
  readonly interceptors: readonly Interceptor[];
  readonly callers: CallerAddress;
  readonly maxMessageBytes: number;
  readonly maxCallMs: number;
  /** A message that is not complete by then is cut off. */
  readonly requestTimeoutMs: number;
}

interface Route {
  readonly method: DescMethodUnary;
  readonly call: UnaryCall;
}

/** Answers the stream if it is a plain unary gRPC call; false leaves it, untouched, to somebody else. */
export function grpcUnary(options: GrpcUnaryOptions): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean {
  const find = plainCalls(options.entries, 'unary', (entry, method: DescMethodUnary): Route => ({
    method,
    call: unaryCall(entry, method, options.interceptors),
  }));
  const uploads = new Waits<ServerHttp2Stream>(options.requestTimeoutMs, (stream) => stream.close(constants.NGHTTP2_CANCEL));
  return (stream, headers) => {
    const route = find(headers);
    if (route === undefined) return false;
    new Exchange(route, stream, headers, options, uploads).begin();
    return true;
  };
}

type Read = Buffer | ServiceError;

/** One call, from the first byte of its message to its answer. A stream that closes before its message is there is not answered. */
class Exchange {
  readonly #route: Route;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #options: GrpcUnaryOptions;
  readonly #uploads: Waits<ServerHttp2Stream>;
  #chunks: Buffer[] = [];
  #size = 0;
  #isRead = false;
  /** Only while the call runs. */
  #controller: AbortController | null = null;

  constructor(
    route: Route,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    options: GrpcUnaryOptions,
    uploads: Waits<ServerHttp2Stream>,
  ) {
    this.#route = route;
    this.#stream = stream;
    this.#headers = headers;
    this.#options = options;
    this.#uploads = uploads;
  }

  begin(): void {
    const stream = this.#stream;
    this.#uploads.begin(stream);
    stream.on('data', (chunk: Buffer) => this.#take(chunk));
    stream.on('end', () => {
      const [first] = this.#chunks;
      this.#finish(this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.#size));
    });
    stream.on('close', () => this.#closed());
    stream.on('error', ignore);
  }

  #take(chunk: Buffer): void {
    // What still comes of a message that was refused is dropped, until the caller hears of it.
    if (this.#isRead) return;
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    if (this.#size > this.#options.maxMessageBytes + FRAME_HEADER_BYTES) this.#finish(messageTooLarge());
  }

  #finish(read: Read): void {
    if (this.#isRead) return;
    this.#isRead = true;
    this.#uploads.end(this.#stream);
    this.#chunks = [];
    void this.#answer(read);
  }

  #closed(): void {
    this.#isRead = true;
    this.#uploads.end(this.#stream);
    this.#controller?.abort(new ServiceError('canceled', 'request_canceled', 'The caller went away.'));
  }

  async #answer(read: Read): Promise<void> {
    const headers = this.#headers;
    const { method, call } = this.#route;
    const requestId = requestIdFrom(headers['x-request-id']);
    const values = newCallValues(requestId, 'grpc', addressOf(this.#stream, headers, this.#options.callers));
    const controller = (this.#controller = new AbortController());
    let timer: NodeJS.Timeout | null = null;
    let message: Message;
    try {
      const timeoutMs = timeoutOf(headers);
      if (timeoutMs !== null) {
        timer = setTimeout(() => controller.abort(deadlineExceeded()), Math.min(timeoutMs, this.#options.maxCallMs));
      }
      message = decode(method, read);
    } catch (thrown) {
      setProblem(values, toProblem(thrown));
      message = create(method.input);
    }
    try {
      const output = await call(message, callInput(headers, values, controller.signal));
      respond(this.#stream, requestId, frame([toBinary(method.output, output)]));
    } catch (thrown) {
      refuse(this.#stream, requestId, thrown);
    } finally {
      this.#controller = null;
      if (timer !== null) clearTimeout(timer);
    }
  }
}

/** What breaks a stream is told by its close. */
function ignore(): void {}

/** Milliseconds that the caller waits; null: it does not say. Throws for what is no time. */
function timeoutOf(headers: IncomingHttpHeaders): number | null {
  const text = headers['grpc-timeout'];
  if (text === undefined) return null;
  const { timeoutMs, error } = parseTimeout(String(text), Number.MAX_SAFE_INTEGER);
  if (error !== undefined) throw error;
  return timeoutMs ?? null;
}

function decode(method: DescMethodUnary, read: Read): Message {
  if (read instanceof ServiceError) throw read;
  const isOneFrame =
    read.length >= FRAME_HEADER_BYTES && read[0] === 0 && read.readUInt32BE(1) === read.length - FRAME_HEADER_BYTES;
  if (!isOneFrame) throw malformed();
  return fromBinary(method.input, read.subarray(FRAME_HEADER_BYTES), READ_OPTIONS);
}

function toProblem(thrown: unknown): ServiceError {
  return thrown instanceof ServiceError ? thrown : malformed(thrown);
}

function respond(stream: ServerHttp2Stream, requestId: string, framed: Buffer): void {
  if (isGone(stream)) return;
  stream.respond({ ...ANSWER_HEADERS, 'x-request-id': requestId }, { waitForTrailers: true });
  stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(framed);
}
