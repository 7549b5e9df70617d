// Unary gRPC calls, read and answered on Node's HTTP/2 streams directly. Measured here, Connect's own handler takes 370 µs of CPU for
// such a call, grpc-js 110 µs; publishers make thousands a second. Streams have `stream.ts`; everything else gRPC goes through Connect.
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMethodUnary, Message } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { parseTimeout } from '@connectrpc/connect/protocol-grpc';
import { ServiceError } from '../../domain/errors.ts';
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
  return (stream, headers) => {
    const route = find(headers);
    if (route === undefined) return false;
    const requestId = requestIdFrom(headers['x-request-id']);
    readMessage(stream, options, (bytes) => void answer(route, stream, headers, requestId, bytes, options));
    return true;
  };
}

type Read = Buffer | ServiceError;

// Calls back once: with the message, or with why there is none. A stream that closes first is not answered at all.
function readMessage(stream: ServerHttp2Stream, options: GrpcUnaryOptions, done: (read: Read) => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  let isDone = false;
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), options.requestTimeoutMs);
  const finish = (read: Read): void => {
    if (isDone) return;
    isDone = true;
    clearTimeout(timer);
    done(read);
  };
  stream.on('data', (chunk: Buffer) => {
    // What still comes of a message that was refused is dropped, until the caller hears of it.
    if (isDone) return;
    size += chunk.length;
    chunks.push(chunk);
    if (size > options.maxMessageBytes + FRAME_HEADER_BYTES) {
      chunks.length = 0;
      finish(messageTooLarge());
    }
  });
  stream.on('end', () => finish(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size)));
  stream.on('close', () => {
    isDone = true;
    clearTimeout(timer);
  });
  // What breaks a stream is told by its close.
  stream.on('error', () => {});
}

async function answer(
  { method, call }: Route,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  requestId: string,
  read: Read,
  options: GrpcUnaryOptions,
): Promise<void> {
  const controller = new AbortController();
  const timeout = parseTimeout(
    headers['grpc-timeout'] === undefined ? null : String(headers['grpc-timeout']),
    Number.MAX_SAFE_INTEGER,
  );
  const timer =
    timeout.timeoutMs === undefined
      ? null
      : setTimeout(() => controller.abort(deadlineExceeded()), Math.min(timeout.timeoutMs, options.maxCallMs));
  let isAnswered = false;
  stream.on('close', () => {
    if (!isAnswered) controller.abort(new ServiceError('canceled', 'request_canceled', 'The caller went away.'));
  });
  const values = newCallValues(requestId, 'grpc', addressOf(stream));
  let message: Message;
  try {
    if (timeout.error !== undefined) throw timeout.error;
    message = decode(method, read);
  } catch (thrown) {
    setProblem(values, toProblem(thrown));
    message = create(method.input);
  }
  try {
    const output = await call(message, callInput(headers, values, controller.signal));
    respond(stream, requestId, frame([toBinary(method.output, output)]));
  } catch (thrown) {
    refuse(stream, requestId, thrown);
  } finally {
    isAnswered = true;
    if (timer !== null) clearTimeout(timer);
  }
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
