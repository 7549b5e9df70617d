// A stream ends when the process stops (`unavailable`), when its token expires (`unauthenticated`) or when its caller goes away.
import type { Interceptor, StreamRequest } from '@connectrpc/connect';
import { ServiceError } from '../../../domain/errors.ts';
import { findPrincipal } from '../call-context.ts';
import { shuttingDown } from '../errors.ts';

type Next = ReturnType<Interceptor>;

/** setTimeout's longest delay. A token that lives longer outlives any stream's connection. */
const MAX_TIMER_MS = 2_147_483_647;

export function endStreams(shutdown: AbortSignal): Interceptor {
  return (next) => (request) => (request.stream ? endStream(next, request, shutdown) : next(request));
}

async function endStream(next: Next, request: StreamRequest, shutdown: AbortSignal): ReturnType<Next> {
  const controller = new AbortController();
  const stop = (reason: unknown): void => controller.abort(reason);
  const onShutdown = (): void => stop(shuttingDown());
  const onAbort = (): void => stop(request.signal.reason);
  if (shutdown.aborted) throw shuttingDown();
  if (request.signal.aborted) onAbort();
  const expiresAtMs = findPrincipal(request.contextValues)?.expiresAtMs ?? Number.POSITIVE_INFINITY;
  const timer = setTimeout(() => stop(tokenExpired()), Math.min(Math.max(0, expiresAtMs - Date.now()), MAX_TIMER_MS));
  shutdown.addEventListener('abort', onShutdown);
  request.signal.addEventListener('abort', onAbort);
  const release = (): void => {
    clearTimeout(timer);
    shutdown.removeEventListener('abort', onShutdown);
    request.signal.removeEventListener('abort', onAbort);
  };
  try {
    const response = await next({ ...request, signal: controller.signal });
    if (response.stream) return { ...response, message: untilAborted(response.message, controller, release) };
    release();
    return response;
  } catch (error) {
    release();
    throw error;
  }
}

function tokenExpired(): ServiceError {
  return new ServiceError('token_invalid', 'The token has expired; call again with a new one.');
}

// Not Promise.race against one long-lived promise: that one would collect a reaction for every message of the stream.
async function* untilAborted<T>(
  messages: AsyncIterable<T>,
  controller: AbortController,
  release: () => void,
): AsyncIterable<T> {
  const iterator = messages[Symbol.asyncIterator]();
  const { signal } = controller;
  let rejectPending: (reason: unknown) => void = () => {};
  const onAbort = (): void => rejectPending(signal.reason);
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      signal.throwIfAborted();
      const result = await new Promise<IteratorResult<T>>((resolve, reject) => {
        rejectPending = reject;
        iterator.next().then(resolve, reject);
      });
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    release();
    controller.abort();
    // Not awaited: a source that does not listen to its signal would hold the end of the stream back.
    iterator.return?.().catch(() => {});
  }
}
