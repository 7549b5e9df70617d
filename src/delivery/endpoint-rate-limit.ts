// The endpoint rate limit: requests a second that a webhook allows, shared by all processes through Redis where there is one.
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { RedisConnection } from '../persistence/redis.ts';

/** `rate_limit` counts requests a second. */
const WINDOW_SECONDS = 1;
/** If the limiter fails, the request is sent without a limit: a late delivery is worse than a request too many. */
const GO_AHEAD = 0;

type Limiter = RateLimiterMemory | RateLimiterRedis;

/** Resolves to how many milliseconds to wait before the next request to a webhook. 0: it has taken its place, and goes ahead. */
export function createEndpointRateLimit(
  redis: RedisConnection | null,
  redisKeyPrefix: string,
): (target: { readonly id: string; readonly rateLimit: number }) => Promise<number> {
  // A limiter for each rate in use: at most 10,000 by the rule of the field, in practice a handful.
  const limiters = new Map<number, Limiter>();
  return async ({ id, rateLimit }) => {
    let limiter = limiters.get(rateLimit);
    if (limiter === undefined) limiters.set(rateLimit, (limiter = createLimiter(rateLimit, redis, redisKeyPrefix)));
    try {
      await limiter.consume(id);
      return 0;
    } catch (refusal) {
      return refusal instanceof RateLimiterRes ? Math.max(1, refusal.msBeforeNext) : GO_AHEAD;
    }
  };
}

function createLimiter(rateLimit: number, redis: RedisConnection | null, redisKeyPrefix: string): Limiter {
  const memory = new RateLimiterMemory({ points: rateLimit, duration: WINDOW_SECONDS });
  if (redis === null) return memory;
  // While Redis is away each process counts for itself.
  return new RateLimiterRedis({
    storeClient: redis.commands,
    keyPrefix: `${redisKeyPrefix}wh-pace`,
    points: rateLimit,
    duration: WINDOW_SECONDS,
    insuranceLimiter: memory,
  });
}
