// The rate limit of callers: exact for one process, shared between several, and never the reason that an event is lost.
import { Redis } from 'ioredis';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ServiceError } from '../../src/domain/errors.ts';
import { RateLimit } from '../../src/security/rate-limit.ts';
import { createTestRedis, sharedTestRedis, type TestRedis } from '../fixtures/redis.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function connect(config: TestRedis['config']): Redis {
  const redis = new Redis({
    host: config.host,
    port: config.port,
    db: config.db,
    keyPrefix: config.keyPrefix,
    enableOfflineQueue: false,
    commandTimeout: 300,
    maxRetriesPerRequest: 0,
    lazyConnect: true,
  });
  redis.on('error', () => {});
  cleanups.push(() => redis.disconnect());
  return redis;
}

/** How many of `attempts` calls, `together` at a time, get through. */
async function passed(limit: RateLimit, user: string, attempts: number, together = 1, calls = 1): Promise<number> {
  let count = 0;
  for (let i = 0; i < attempts; i += together) {
    const results = await Promise.allSettled(
      Array.from({ length: Math.min(together, attempts - i) }, () => limit.consume(user, calls)),
    );
    count += results.filter((result) => result.status === 'fulfilled').length;
  }
  return count;
}

describe.each([
  ['in memory', async () => null],
  [
    'in Redis',
    async () => {
      const redis = connect(sharedTestRedis());
      await redis.connect();
      return redis;
    },
  ],
])('a limit %s', (_, open) => {
  it.each([1, 7, 100, 150, 1000])('of %i lets exactly so many calls through', async (limit) => {
    expect(await passed(new RateLimit(limit, await open()), 'user', limit + 50, 10)).toBe(limit);
  });

  it('counts users apart', async () => {
    const limit = new RateLimit(5, await open());
    expect([await passed(limit, 'a', 10), await passed(limit, 'b', 10)]).toEqual([5, 5]);
  });

  it('counts a batch as the calls it holds', async () => {
    const limit = new RateLimit(1000, await open());
    expect(await passed(limit, 'user', 20, 4, 90)).toBe(11);
    expect(await passed(limit, 'user', 20)).toBe(10);
    await expect(limit.consume('another', 1001)).rejects.toBeInstanceOf(ServiceError);
  });

  it('refuses with the time to wait', async () => {
    const limit = new RateLimit(1, await open());
    await limit.consume('user');
    const refusal: unknown = await limit.consume('user').catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'resource_exhausted', reason: 'rate_limited' });
    expect(refusal instanceof ServiceError ? refusal.retryAfterMs : 0).toBeGreaterThan(50_000);
    expect(refusal instanceof ServiceError ? refusal.retryAfterMs : 0).toBeLessThanOrEqual(60_000);
  });
});

it('a limit in memory starts afresh after a minute', async () => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
  const limit = new RateLimit(300, null);
  expect(await passed(limit, 'user', 400)).toBe(300);
  await vi.advanceTimersByTimeAsync(60_001);
  expect(await passed(limit, 'user', 400)).toBe(300);
});

it('a limit whose counting itself fails lets every call through', async () => {
  const consume = vi.spyOn(RateLimiterMemory.prototype, 'consume').mockRejectedValue(new Error('out of order'));
  cleanups.push(() => consume.mockRestore());
  expect(await passed(new RateLimit(1, null), 'user', 10)).toBe(10);
});

it('processes that share a Redis share the limit, but for what they hold unspent', async () => {
  const config = sharedTestRedis();
  const limits = await Promise.all(
    [1, 2, 3].map(async () => {
      const redis = connect(config);
      await redis.connect();
      return new RateLimit(300, redis);
    }),
  );
  const counts = await Promise.all(limits.map((limit) => passed(limit, 'user', 300, 5)));
  const total = counts.reduce((sum, count) => sum + count, 0);
  expect(total).toBeGreaterThanOrEqual(300 - 3 * 3);
  expect(total).toBeLessThanOrEqual(300);
});

describe('when Redis', () => {
  async function own(): Promise<{ server: TestRedis; limit: RateLimit }> {
    const server = await createTestRedis();
    cleanups.push(() => server.close());
    const redis = connect(server.config);
    await redis.connect();
    return { server, limit: new RateLimit(50, redis) };
  }

  it('is dead, calls go through at once, counted by each process for itself', async () => {
    const { server, limit } = await own();
    await limit.consume('user');
    await server.kill();
    const startedAt = performance.now();
    expect(await passed(limit, 'other', 60, 10)).toBe(50);
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });

  it('does not answer, calls go through within its timeout', async () => {
    const { server, limit } = await own();
    server.stop();
    cleanups.push(() => server.cont());
    const startedAt = performance.now();
    await limit.consume('user');
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });
});
