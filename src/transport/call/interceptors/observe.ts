// Traces, logs and counts every call.
import { Code, ConnectError } from '@connectrpc/connect';
import type { Interceptor } from '@connectrpc/connect';
import type { ErrorCode } from '../../../domain/errors.ts';
import { ServiceError } from '../../../domain/errors.ts';
import type { Principal } from '../../../security/tokens.ts';
import { createTracing } from '../../../telemetry/tracing.ts';
import type { Tracing } from '../../../telemetry/tracing.ts';
import { protocolOf, findPrincipal, requestIdOf } from '../call-context.ts';
import type { Protocol } from '../call-context.ts';
import { toServiceError } from '../errors.ts';

export interface CallRecord {
  /** As in `homechef.webhook.v1.EventService/PublishEvent`. */
  readonly method: string;
  readonly protocol: Protocol;
  readonly requestId: string;
  readonly traceId: string;
  readonly principal: Principal | null;
  /** Until the answer was ready; of a stream, until it ended. */
  readonly durationMs: number;
  readonly code: ErrorCode | 'ok';
  /** With the real cause as its `cause`: for logs, never for callers. */
  readonly error: ServiceError | null;
}

export type CallObserver = (call: CallRecord) => void;

export function observe(onCall: CallObserver, tracing: Tracing = createTracing(null)): Interceptor {
  return (next) => async (request) => {
    const startedMs = performance.now();
    const name = `${request.service.typeName}/${request.method.name}`;
    const traced = tracing.call(name, request.header.get('traceparent'));
    // Whatever this call causes, attempts of next week included, belongs to its span and not to the caller's.
    request.header.set('traceparent', traced.traceparent);
    const report = (thrown: unknown): void => {
      const error = thrown === null ? null : toServiceError(thrown);
      traced.end(error?.code);
      onCall({
        method: name,
        protocol: protocolOf(request.contextValues),
        requestId: requestIdOf(request.contextValues),
        traceId: traced.traceId,
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
  // A caller that goes away ends the loop without an exception: that must not count as a stream that ran to its end.
  let outcome: unknown = new ConnectError('The caller went away.', Code.Canceled);
  let isSending = false;
  try {
    for await (const message of messages) {
      isSending = true;
      yield message;
      isSending = false;
    }
    outcome = null;
  } catch (thrown) {
    // What is thrown at the `yield` comes from the code that writes to the caller, and could not: nothing of ours went wrong.
    if (!isSending) outcome = thrown;
    throw thrown;
  } finally {
    report(outcome);
  }
}
