// The rate limit of callers: so many calls a minute for each user, counted across processes through Redis.
import { BoundedMap } from '../bounded-map.ts';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { ServiceError } from '../domain/errors.ts';

const WINDOW_SECONDS = 60;
/**
 * A hundredth of the limit is taken from Redis at a time and spent here: one command for many calls. What a process has taken and
 * not spent is lost at the end of the window, so a user spread over n processes loses n hundredths at most.
 */
const TAKEN_AT_ONCE = 100;
/** Users whose allowance is held here; the oldest is dropped first, and asks Redis again. */
const MAX_USERS = 10_000;

/** What a user may still call. */
export interface CallsLeft {
  /** Calls a window. */
  readonly limit: number;
  readonly windowSeconds: number;
  /** Before the window ends, as far as this process knows. */
  readonly remaining: number;
  readonly resetSeconds: number;
}

interface Allowance {
  left: number;
  /** Not taken by any process when this one last asked. */
  untaken: number;
  /** When the window ends, on this process's clock. */
  endsAtMs: number;
  /** Nothing more to be had before then. */
  exhausted: boolean;
  refill: Promise<void> | null;
}

export class RateLimit {
  readonly #limit: number;
  readonly #atOnce: number;
  readonly #limiter: RateLimiterMemory | RateLimiterRedis;
  readonly #allowances = new BoundedMap<string, Allowance>(MAX_USERS);

  /** Without Redis, or while it is away, each process counts for itself. */
  constructor(limitPerMinute: number, redis: object | null, keyPrefix = 'rate') {
    this.#limit = limitPerMinute;
    this.#atOnce = Math.max(1, Math.floor(limitPerMinute / TAKEN_AT_ONCE));
    const options = { points: limitPerMinute, duration: WINDOW_SECONDS, keyPrefix };
    const memory = new RateLimiterMemory(options);
    this.#limiter =
      redis === null
        ? memory
        : new RateLimiterRedis({ ...options, storeClient: redis, insuranceLimiter: memory, rejectIfRedisNotReady: true });
  }

  /**
   * Counts `calls` of a user; throws `rate_limited` with the time to wait when they are too many. Should the counting itself fail,
   * the calls go through: an event that is refused is lost, one too many is not.
   */
  async consume(userId: string, calls = 1): Promise<void> {
    const allowance = this.#allowance(userId);
    for (;;) {
      const nowMs = Date.now();
      if (nowMs >= allowance.endsAtMs) {
        allowance.left = 0;
        allowance.exhausted = false;
      }
      if (allowance.left >= calls) {
        allowance.left -= calls;
        return;
      }
      if (allowance.exhausted) throw tooMany(allowance.endsAtMs - nowMs);
      allowance.refill ??= this.#refill(userId, allowance, Math.max(this.#atOnce, calls - allowance.left));
      try {
        await allowance.refill;
      } catch {
        return;
      }
    }
  }

  /** Looks without counting. */
  callsLeft(userId: string): CallsLeft {
    const { left, untaken, endsAtMs } = this.#allowances.get(userId) ?? { left: 0, untaken: this.#limit, endsAtMs: 0 };
    const leftMs = endsAtMs - Date.now();
    return {
      limit: this.#limit,
      windowSeconds: WINDOW_SECONDS,
      remaining: leftMs > 0 ? left + untaken : this.#limit,
      resetSeconds: leftMs > 0 ? Math.ceil(leftMs / 1000) : WINDOW_SECONDS,
    };
  }

  #allowance(userId: string): Allowance {
    const known = this.#allowances.get(userId);
    if (known !== undefined) return known;
    const allowance = { left: 0, untaken: 0, endsAtMs: 0, exhausted: false, refill: null };
    this.#allowances.set(userId, allowance);
    return allowance;
  }

  async #refill(userId: string, allowance: Allowance, wanted: number): Promise<void> {
    try {
      const granted = await this.#limiter.consume(userId, wanted);
      allowance.left += wanted;
      allowance.untaken = granted.remainingPoints;
      allowance.endsAtMs = Date.now() + granted.msBeforeNext;
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal;
      // The last helping may be a smaller one.
      allowance.left += Math.max(0, wanted - (refusal.consumedPoints - this.#limit));
      allowance.endsAtMs = Date.now() + Math.max(1, refusal.msBeforeNext);
      allowance.untaken = 0;
      allowance.exhausted = true;
    } finally {
      allowance.refill = null;
    }
  }
}

function tooMany(waitMs: number): ServiceError {
  const seconds = Math.ceil(waitMs / 1000);
  return new ServiceError('rate_limited', `Too many calls; try again in ${seconds} s.`, {
    retryAfterMs: waitMs,
  });
}
