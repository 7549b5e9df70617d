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
    const header = new Headers();
    const trailer = new Headers();
    const context: HandlerContext = {
      method,
      service,
      signal: request.signal,
      timeoutMs: () => undefined,
      requestMethod: request.requestMethod,
      requestHeader: request.header,
      responseHeader: header,
      responseTrailer: trailer,
      protocolName: '',
      values: request.contextValues,
      url: request.url,
    };
    const answer = await run(request.message, context);
    const message = isMessage(answer, method.output) ? answer : create(method.output, answer as MessageInitShape<DescMessage>);
    return { stream: false, service, method, header, trailer, message };
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
