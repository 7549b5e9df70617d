// What running a unary RPC and running a stream have in common: which code answers it, what that code gets, and all that stands in front.
import { create, isMessage } from '@bufbuild/protobuf';
import type { DescMessage, DescMethod, Message, MessageInitShape } from '@bufbuild/protobuf';
import type { ContextValues, HandlerContext, Interceptor, StreamRequest, UnaryRequest } from '@connectrpc/connect';
import type { ServiceEntry } from '../call/service-entry.ts';

export interface CallInput {
  readonly url: string;
  /** GET, POST … as the caller sent it. */
  readonly requestMethod: string;
  readonly header: Headers;
  readonly contextValues: ContextValues;
  /** Aborted when the caller goes away or its deadline passes. */
  readonly signal: AbortSignal;
}

type Next = ReturnType<Interceptor>;

/** The code that answers the RPC. Throws when the entry has none. */
export function implementationOf(entry: ServiceEntry, method: DescMethod): unknown {
  const implementation = entry.implementation[method.localName];
  if (typeof implementation !== 'function') throw new Error(`${method.parent.typeName}/${method.name} has no implementation`);
  return implementation;
}

/** Puts the interceptors in front of `last`, the first of them outermost. */
export function behind(interceptors: readonly Interceptor[], last: Next): Next {
  return interceptors.reduceRight<Next>((next, interceptor) => interceptor(next), last);
}

/** What an implementation answered, as a message. */
export function completed(schema: DescMessage, answer: object): Message {
  return isMessage(answer, schema) ? answer : create(schema, answer as MessageInitShape<DescMessage>);
}

/** What an implementation gets of its call. Headers are made on demand: few implementations read them, and each costs microseconds. */
export class Context<Method extends DescMethod = DescMethod> implements HandlerContext {
  readonly protocolName = '';
  readonly method: Method;
  readonly #request: UnaryRequest | StreamRequest;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  constructor(method: Method, request: UnaryRequest | StreamRequest) {
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
  /** The protocol turns the caller's deadline into the signal. */
  timeoutMs(): undefined {
    return undefined;
  }
}
