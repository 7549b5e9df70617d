// Whatever is thrown below, callers get one of the documented errors.
import { ConnectError } from '@connectrpc/connect';
import type { Interceptor } from '@connectrpc/connect';
import { requestIdOf } from '../call-context.ts';
import { toConnectError } from '../errors.ts';

export function translateErrors(): Interceptor {
  return (next) => async (request) => {
    const translate = (thrown: unknown): ConnectError => toConnectError(thrown, requestIdOf(request.contextValues));
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: translated(response.message, translate) } : response;
    } catch (thrown) {
      throw translate(thrown);
    }
  };
}

async function* translated<T>(messages: AsyncIterable<T>, translate: (thrown: unknown) => ConnectError): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (thrown) {
    throw translate(thrown);
  }
}
