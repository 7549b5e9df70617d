// Runs an RPC that streams both ways: the interceptors and the implementation that every protocol shares, without the protocol around them.
import type { DescMessage, DescMethodBiDiStreaming, Message } from '@bufbuild/protobuf';
import type { HandlerContext, Interceptor, StreamRequest, StreamResponse } from '@connectrpc/connect';
import type { ServiceEntry } from '../call/service-entry.ts';
import { behind, completed, Context, implementationOf } from './rpc-call.ts';
import type { CallInput } from './rpc-call.ts';

/** Resolves before anything is read or answered; a caller that then starts to read the replies must read them to their end or leave them. */
export type StreamCall = (messages: AsyncIterable<Message>, input: CallInput) => Promise<AsyncIterable<Message>>;

type Implementation = (messages: AsyncIterable<Message>, context: HandlerContext) => AsyncIterable<object>;

/** Prepared once a method, like a unary call. */
export function streamCall(
  entry: ServiceEntry,
  method: DescMethodBiDiStreaming,
  interceptors: readonly Interceptor[],
): StreamCall {
  const run = implementationOf(entry, method) as Implementation;
  const service = method.parent;

  const last = async (request: StreamRequest): Promise<StreamResponse> => {
    const context = new Context(method, request);
    const message = allCompleted(method.output, run(request.message, context));
    return { stream: true, service, method, message, header: context.responseHeader, trailer: context.responseTrailer };
  };
  const chain = behind(interceptors, last as ReturnType<Interceptor>);

  return async (messages, input) => {
    const request: StreamRequest = { ...input, stream: true, service, method, message: messages };
    const response = await chain(request);
    return response.message as AsyncIterable<Message>;
  };
}

async function* allCompleted(schema: DescMessage, answers: AsyncIterable<object>): AsyncIterable<Message> {
  for await (const answer of answers) yield completed(schema, answer);
}
