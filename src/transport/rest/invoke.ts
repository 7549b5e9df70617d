// Runs a unary RPC for a REST request: the same implementation behind the same interceptors as for every other door.
import { createHandlerContext } from '@connectrpc/connect';
import type { ContextValues, Interceptor, MethodImpl } from '@connectrpc/connect';
import { invokeUnaryImplementation } from '@connectrpc/connect/protocol';
import type { DescMethodUnary, Message } from '@bufbuild/protobuf';
import type { RestRoute } from './routes.ts';

export interface RestCall {
  readonly url: string;
  readonly header: Headers;
  readonly values: ContextValues;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal;
}

/** Prepared once a route, so that a request only runs. */
export function invoker(route: RestRoute, interceptors: Interceptor[]): (message: Message, call: RestCall) => Promise<Message> {
  const { method } = route;
  const implementation = route.entry.implementation[method.localName];
  if (typeof implementation !== 'function')
    throw new Error(`${method.parent.typeName}/${method.name} has a route but no implementation`);
  const kind = 'unary' as const;
  const spec = { kind, method, impl: implementation as MethodImpl<DescMethodUnary> };
  return async (message, call) => {
    const context = createHandlerContext({
      service: method.parent,
      method,
      protocolName: 'rest',
      requestMethod: route.verb,
      url: call.url,
      requestHeader: call.header,
      requestSignal: call.signal,
      contextValues: call.values,
    });
    try {
      return await invokeUnaryImplementation(spec, context, message, interceptors);
    } finally {
      // Ends what still listens to the call's signal, as every other door does.
      context.abort();
    }
  };
}
