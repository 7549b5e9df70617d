// Tells logs and metrics about every call once it has ended.
import { Code, ConnectError } from '@connectrpc/connect';
import type { Interceptor } from '@connectrpc/connect';
import type { ErrorCode } from '../../domain/errors.ts';
import { ServiceError } from '../../domain/errors.ts';
import type { Principal } from '../../security/tokens.ts';
import { doorOf, findPrincipal, requestIdOf } from '../call-context.ts';
import type { Door } from '../call-context.ts';
import { toServiceError } from '../errors.ts';

export interface CallRecord {
  /** As in `homechef.webhook.v1.EventService/PublishEvent`. */
  readonly method: string;
  readonly door: Door;
  readonly requestId: string;
  readonly principal: Principal | null;
  /** Until the answer was ready; of a stream, until it ended. */
  readonly durationMs: number;
  readonly code: ErrorCode | 'ok';
  /** With the real cause as its `cause`: for logs, never for callers. */
  readonly error: ServiceError | null;
}

export type CallObserver = (call: CallRecord) => void;

export function observe(onCall: CallObserver): Interceptor {
  return (next) => async (request) => {
    const startedMs = performance.now();
    const report = (thrown: unknown): void => {
      const error = thrown === null ? null : toServiceError(thrown);
      onCall({
        method: `${request.service.typeName}/${request.method.name}`,
        door: doorOf(request.contextValues),
        requestId: requestIdOf(request.contextValues),
        principal: findPrincipal(request.contextValues),
        durationMs: performance.now() - startedMs,
        code: error?.code ?? 'ok',
        error,
      });
    };
    try {
      const response = await next(request);
      if (response.stream) return { ...response, message: observed(response.message, report) };
      report(null);
      return response;
    } catch (thrown) {
      report(thrown);
      throw thrown;
    }
  };
}

async function* observed<T>(messages: AsyncIterable<T>, report: (thrown: unknown) => void): AsyncIterable<T> {
  // A caller that goes away ends the loop without an exception: that must be told apart from a stream that ran to its end.
  let outcome: unknown = new ConnectError('The caller went away.', Code.Canceled);
  try {
    yield* messages;
    outcome = null;
  } catch (thrown) {
    outcome = thrown;
    throw thrown;
  } finally {
    report(outcome);
  }
}
