// gRPC calls that stream both ways, read and answered on Node's HTTP/2 streams directly, as unary ones are. Measured 2026-11-23, Node 26,
// `npm run bench`, fan-out 1, stream, three runs each: 144–158 µs of the service's CPU an event, 175–205 µs through Connect. The two
// listeners alone, with commits every 5 ms in memory, took 13–18 µs and 35–43 µs.
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { toBinary } from '@bufbuild/protobuf';
import type { DescMethodBiDiStreaming, Message } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { ServiceError } from '../../domain/errors.ts';
import type { CallerAddress } from '../listener/caller-address.ts';
import type { ConnectionPlaces } from '../listener/connection-places.ts';
import type { BodyBudget } from '../body/body-budget.ts';
import { decodeMessage, malformed } from '../body/decode.ts';
import type { SizeLimit, SizeLimits } from '../body/size-limits.ts';
import { newCallValues, requestIdFrom, setProblem, setReader } from '../call/call-context.ts';
import { grpcTimeoutMs } from '../call/deadline-header.ts';
import { deadlineExceeded, toServiceError } from '../call/errors.ts';
import { GrpcAnswers } from './answers.ts';
import { addressOf, callInput, plainCalls } from './call.ts';
import { GrpcMessages } from '../body/grpc-messages.ts';
import type { ServiceEntry } from '../call/service-entry.ts';
import { MAX_STREAM_MS } from '../listener/server-limits.ts';
import { streamCall } from '../call/stream-call.ts';
import type { StreamCall } from '../call/stream-call.ts';

export interface GrpcStreamOptions {
  readonly entries: readonly ServiceEntry[];
  readonly interceptors: readonly Interceptor[];
  readonly callers: CallerAddress;
  readonly places: ConnectionPlaces;
  readonly sizes: SizeLimits;
  readonly budget: BodyBudget;
}

interface Route {
  readonly method: DescMethodBiDiStreaming;
  readonly limit: SizeLimit;
  readonly call: StreamCall;
}

/** Answers the stream if it is a plain gRPC call that streams both ways; false leaves it, untouched, to another handler. */
export function grpcStream(options: GrpcStreamOptions): (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean {
  const find = plainCalls(options.entries, 'bidi_streaming', (entry, method: DescMethodBiDiStreaming): Route => ({
    method,
    limit: options.sizes.of(method),
    call: streamCall(entry, method, options.interceptors),
  }));
  return (stream, headers) => {
    const route = find(headers);
    if (route === undefined) return false;
    void answer(route, stream, headers, options);
    return true;
  };
}

// Never rejects.
async function answer(
  { method, limit, call }: Route,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  { budget, callers, places }: GrpcStreamOptions,
): Promise<void> {
  const requestId = requestIdFrom(headers['x-request-id']);
  const address = addressOf(stream, headers, callers);
  const values = newCallValues(requestId, 'grpc', address, places.of(stream.session));
  const schema = method.input;
  const decode = (bytes: Buffer, isCompressed: boolean): Message => {
    if (isCompressed) throw malformed();
    return decodeMessage(schema, bytes, false);
  };
  const messages = new GrpcMessages(stream, { limit, budget, address, schema, decode });
  setReader(values, (caller) => {
    messages.charge(caller);
    return messages;
  });
  const answers = new GrpcAnswers(stream, requestId);
  const controller = new AbortController();
  const stop = (reason: ServiceError): void => {
    controller.abort(reason);
    messages.stop(reason);
  };
  const onGone = (): void => stop(new ServiceError('request_canceled', 'The caller went away.'));
  stream.once('close', onGone);
  // A stream that is reset while it is not read from closes only once it has been.
  stream.once('aborted', onGone);

  let timer: NodeJS.Timeout | null = null;
  try {
    const timeoutMs = grpcTimeoutMs(headers['grpc-timeout'] as string | undefined, MAX_STREAM_MS);
    if (timeoutMs !== null) timer = setTimeout(() => stop(deadlineExceeded()), timeoutMs);
  } catch (thrown) {
    setProblem(values, toServiceError(thrown));
  }
  try {
    for await (const message of await call(messages, callInput(headers, values, controller.signal))) {
      answers.add(toBinary(method.output, message));
      if (answers.isFull) await answers.room();
    }
    answers.end();
  } catch (thrown) {
    answers.fail(thrown);
  } finally {
    if (timer !== null) clearTimeout(timer);
    messages.stop(new ServiceError('request_canceled', 'The call was answered.'));
  }
}
