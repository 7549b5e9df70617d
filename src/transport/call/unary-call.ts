// Runs a unary RPC: the interceptors and the implementation that every protocol shares, without the protocol around them.
import type { DescMethodUnary, Message } from '@bufbuild/protobuf';
import type { HandlerContext, Interceptor, UnaryRequest, UnaryResponse } from '@connectrpc/connect';
import type { ServiceEntry } from '../call/service-entry.ts';
import { behind, completed, Context, implementationOf } from './rpc-call.ts';
import type { CallInput } from './rpc-call.ts';

export type UnaryCall = (message: Message, input: CallInput) => Promise<Message>;

type Implementation = (message: Message, context: HandlerContext) => Promise<object> | object;

/** Prepared once a method: a call then builds no chain, only walks it. */
export function unaryCall(entry: ServiceEntry, method: DescMethodUnary, interceptors: readonly Interceptor[]): UnaryCall {
  const run = implementationOf(entry, method) as Implementation;
  const service = method.parent;

  const last = async (request: UnaryRequest): Promise<UnaryResponse> => {
    const context = new Context(method, request);
    return new Answer(context, completed(method.output, await run(request.message, context)));
  };
  const chain = behind(interceptors, last as ReturnType<Interceptor>);

  return async (message, input) => {
    const request: UnaryRequest = { ...input, stream: false, service, method, message };
    const response = await chain(request);
    return response.message as Message;
  };
}

class Answer implements UnaryResponse {
  readonly stream = false;
  readonly message: Message;
  readonly #context: Context<DescMethodUnary>;

  constructor(context: Context<DescMethodUnary>, message: Message) {
    this.#context = context;
    this.message = message;
  }

  get service() {
    return this.#context.service;
  }
  get method() {
    return this.#context.method;
  }
  get header() {
    return this.#context.responseHeader;
  }
  get trailer() {
    return this.#context.responseTrailer;
  }
}
