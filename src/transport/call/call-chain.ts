// What every call passes on its way in, whichever protocol it came through, outermost first.
import type { Interceptor } from '@connectrpc/connect';
import type { Tracing } from '../../telemetry/tracing.ts';
import { authenticate } from './interceptors/authenticate.ts';
import type { VerifyToken } from './interceptors/authenticate.ts';
import { deadline } from './interceptors/deadline.ts';
import { endStreams } from './interceptors/end-streams.ts';
import { limitRate } from './interceptors/limit-rate.ts';
import type { CountCall, FindCallsLeft } from './interceptors/limit-rate.ts';
import { observe } from './interceptors/observe.ts';
import type { CallObserver } from './interceptors/observe.ts';
import { readMessage } from './interceptors/read-message.ts';
import { takeIdempotencyKey } from './interceptors/take-idempotency-key.ts';
import { translateErrors } from './interceptors/translate-errors.ts';
import { validate } from './interceptors/validate.ts';

export interface CallChainOptions {
  readonly verifyToken: VerifyToken;
  /** Without it no calls are counted. */
  readonly countCall?: CountCall;
  readonly findCallsLeft?: FindCallsLeft;
  readonly onCall: CallObserver;
  readonly tracing?: Tracing;
  /** Aborted when the process stops: streams end, unary calls are finished. */
  readonly shutdown: AbortSignal;
  readonly maxCallMs?: number;
}

export function callChain(options: CallChainOptions): Interceptor[] {
  return [
    observe(options.onCall, options.tracing),
    translateErrors(),
    deadline(options.maxCallMs),
    authenticate(options.verifyToken),
    ...(options.countCall === undefined ? [] : [limitRate(options.countCall, options.findCallsLeft)]),
    endStreams(options.shutdown),
    readMessage(),
    takeIdempotencyKey(),
    validate(),
  ];
}
