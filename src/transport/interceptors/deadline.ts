// A unary call is answered when its deadline passes or its caller goes away, whether or not the code below listens to its signal.
import type { Interceptor } from '@connectrpc/connect';
import { deadlineExceeded } from '../errors.ts';

/** The longest a unary call may take. Clients that ask for more are refused; those that ask for nothing get this. */
export const MAX_CALL_MS = 30_000;

export function deadline(maxMs = MAX_CALL_MS): Interceptor {
  return (next) => (request) => {
    if (request.stream) return next(request);
    return new Promise((resolve, reject) => {
      const controller = new AbortController();
      const stop = (reason: unknown): void => {
        finish();
        controller.abort(reason);
        reject(reason);
      };
      const onAbort = (): void => stop(request.signal.reason);
      const timer = setTimeout(() => stop(deadlineExceeded()), maxMs);
      const finish = (): void => {
        clearTimeout(timer);
        request.signal.removeEventListener('abort', onAbort);
      };
      if (request.signal.aborted) return onAbort();
      request.signal.addEventListener('abort', onAbort);
      next({ ...request, signal: controller.signal })
        .finally(finish)
        .then(resolve, reject);
    });
  };
}
