// A unary call is answered when its deadline passes or its caller goes away, whether or not the code below listens to its signal.
import type { Interceptor } from '@connectrpc/connect';
import { TimeoutSet } from '../../../lifecycle/timeout-set.ts';
import { deadlineExceeded } from '../errors.ts';

/** The longest a unary call may take, whatever its client asks for. */
export const MAX_CALL_MS = 30_000;

export function deadline(maxMs = MAX_CALL_MS): Interceptor {
  const waits = new TimeoutSet<(reason: unknown) => void>(maxMs, (reject) => reject(deadlineExceeded()));
  return (next) => (request) => {
    if (request.stream) return next(request);
    const { signal } = request;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort);
      waits.begin(reject);
      const run = async (): Promise<void> => {
        try {
          resolve(await next(request));
        } catch (error) {
          reject(error);
        } finally {
          waits.end(reject);
          signal.removeEventListener('abort', onAbort);
        }
      };
      void run();
    });
  };
}
