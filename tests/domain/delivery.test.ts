// What a delivery becomes after an attempt.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { attemptErrors, nextState, type AttemptError } from '../../src/domain/delivery.ts';
import { MAX_LEASE_EXPIRATIONS } from '../../src/domain/delivery-rules.ts';

const policy = { maxRetries: 3, retryDelayMs: 1000, timeoutMs: 30_000 };
const fresh = { trigger: 'automatic', retriesUsed: 0, leaseExpirations: 0 } as const;
const failure = { error: 'http_status', httpStatus: 500, retryAfterMs: null } as const;

describe('after an attempt', () => {
  test('2xx is delivered, whatever was tried before', () => {
    fc.assert(
      fc.property(
        fc.nat(50),
        fc.nat(50),
        fc.constantFrom('automatic', 'manual', 'test'),
        (retriesUsed, leaseExpirations, trigger) => {
          const next = nextState(
            { error: null, httpStatus: 200, retryAfterMs: null },
            { trigger, retriesUsed, leaseExpirations },
            policy,
            0.5,
          );
          expect(next).toEqual({ status: 'delivered' });
        },
      ),
    );
  });

  test('failures end after 1 + max_retries attempts, for every kind of failure', () => {
    const errors = Object.keys(attemptErrors).filter((error) => error !== 'shutdown') as AttemptError[];
    fc.assert(
      fc.property(
        fc.constantFrom(...errors),
        fc.nat(20),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (error, maxRetries, random) => {
          let retriesUsed = 0;
          let attempts = 0;
          for (;;) {
            attempts += 1;
            const next = nextState(
              { error, httpStatus: null, retryAfterMs: null },
              { ...fresh, retriesUsed },
              { ...policy, maxRetries },
              random,
            );
            if (next.status === 'failed') break;
            expect(next.status).toBe('retrying');
            retriesUsed += 1;
          }
          expect(attempts).toBe(maxRetries + 1);
        },
      ),
    );
  });

  test('410 is final at once', () => {
    expect(nextState({ ...failure, httpStatus: 410 }, fresh, policy, 0.5)).toEqual({ status: 'failed' });
  });

  test('a test send is never retried', () => {
    expect(nextState(failure, { ...fresh, trigger: 'test' }, policy, 0.5)).toEqual({ status: 'failed' });
  });

  test('a shutdown does not count', () => {
    expect(nextState({ ...failure, error: 'shutdown' }, { ...fresh, retriesUsed: 3 }, policy, 0.5)).toEqual({
      status: 'released',
    });
  });

  test('a delivery that kills its processes is given up', () => {
    expect(nextState(failure, { ...fresh, leaseExpirations: MAX_LEASE_EXPIRATIONS }, policy, 0.5)).toEqual({
      status: 'failed',
    });
  });
});
