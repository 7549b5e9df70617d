// Runs a unary RPC: the interceptors and the implementation that every door shares, without the protocol around them.
import { create, isMessage } from '@bufbuild/protobuf';
import type { DescMessage, DescMethodUnary, Message, MessageInitShape } from '@bufbuild/protobuf';
import type { ContextValues, HandlerContext, Interceptor, UnaryRequest, UnaryResponse } from '@connectrpc/connect';
import type { ServiceEntry } from './router.ts';

export interface CallInput {
  readonly url: string;
  /** GET, POST … as the caller sent it. */
  readonly requestMethod: string;
  readonly header: Headers;
  readonly values: ContextValues;
  /** Aborted when the caller goes away or its deadline passes. */
  readonly signal: AbortSignal;
}

export type UnaryCall = (message: Message, input: CallInput) => Promise<Message>;

type Implementation = (message: Message, context: HandlerContext) => Promise<object> | object;

/** Prepared once a method: a call then builds no chain, only walks it. */
export function unaryCall(entry: ServiceEntry, method: DescMethodUnary, interceptors: readonly Interceptor[]): UnaryCall {
  const implementation = entry.implementation[method.localName];
  if (typeof implementation !== 'function') throw new Error(`${method.parent.typeName}/${method.name} has no implementation`);
  const run = implementation as Implementation;
  const service = method.parent;

  const last = async (request: UnaryRequest): Promise<UnaryResponse> => {
    const context = new Context(method, request);
    const answer = await run(request.message, context);
    const message = isMessage(answer, method.output) ? answer : create(method.output, answer as MessageInitShape<DescMessage>);
    return new Answer(context, message);
  };
  const chain = interceptors.reduceRight<ReturnType<Interceptor>>(
    (next, interceptor) => interceptor(next),
    last as ReturnType<Interceptor>,
  );

  return async (message, { url, requestMethod, header, values, signal }) => {
    const request: UnaryRequest = {
      stream: false,
      service,
      method,
      message,
      url,
      requestMethod,
      header,
      signal,
      contextValues: values,
    };
    const response = await chain(request);
    return response.message as Message;
  };
}

/** What an implementation is told of its call. Headers are made when somebody asks: hardly anybody does, and each costs microseconds. */
class Context implements HandlerContext {
  readonly protocolName = '';
  readonly method: DescMethodUnary;
  readonly #request: UnaryRequest;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  constructor(method: DescMethodUnary, request: UnaryRequest) {
    this.method = method;
    this.#request = request;
  }

  get service() {
    return this.#request.service;
  }
  get signal() {
    return this.#request.signal;
  }
  get requestMethod() {
    return this.#request.requestMethod;
  }
  get requestHeader() {
    return this.#request.header;
  }
  get values() {
    return this.#request.contextValues;
  }
  get url() {
    return this.#request.url;
  }
  get responseHeader() {
    return (this.#responseHeader ??= new Headers());
  }
  get responseTrailer() {
    return (this.#responseTrailer ??= new Headers());
  }
  /** The door turns the caller's deadline into the signal. */
  timeoutMs(): undefined {
    return undefined;
  }
}

class Answer implements UnaryResponse {
  readonly stream = false;
  readonly message: Message;
  readonly #context: Context;

  constructor(context: Context, message: Message) {
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
