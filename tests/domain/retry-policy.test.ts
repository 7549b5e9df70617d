// The retry schedule: doubling, jitter, Retry-After.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JITTER, MAX_DELAY_MS, MAX_RETRY_AFTER_MS, nextRetryDelayMs, parseRetryAfter } from '../../src/domain/retry-policy.ts';

const policy = { maxRetries: 3, retryDelayMs: 60_000, timeoutMs: 30_000 };
const nowMs = Date.parse('2026-01-01T00:00:00Z');

describe('the delay before a retry', () => {
  test('doubles with each retry and stays within 20 % of that', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 8 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (retriesUsed, random) => {
        const base = Math.min(60_000 * 2 ** retriesUsed, MAX_DELAY_MS);
        const delay = nextRetryDelayMs(policy, retriesUsed, { retryAfterMs: null }, random);
        expect(delay).toBeGreaterThanOrEqual(Math.floor(base * (1 - JITTER)));
        expect(delay).toBeLessThanOrEqual(Math.ceil(base * (1 + JITTER)));
      }),
    );
  });

  test('is spread over the whole range of the jitter', () => {
    expect(nextRetryDelayMs(policy, 0, { retryAfterMs: null }, 0)).toBe(48_000);
    expect(nextRetryDelayMs(policy, 0, { retryAfterMs: null }, 0.5)).toBe(60_000);
  });

  test('is never earlier than the receiver asked, and never a day later than asked', () => {
    expect(nextRetryDelayMs(policy, 0, { retryAfterMs: 300_000 }, 0)).toBe(300_000);
    expect(nextRetryDelayMs(policy, 0, { retryAfterMs: 10 }, 0)).toBe(48_000);
    expect(nextRetryDelayMs(policy, 0, { retryAfterMs: 1e12 }, 0)).toBe(86_400_000);
  });

  test('is finite however often it was tried', () => {
    expect(nextRetryDelayMs(policy, 2000, { retryAfterMs: null }, 0.5)).toBe(MAX_DELAY_MS);
  });
});

describe('Retry-After', () => {
  test.each([
    ['120', 120_000],
    ['0', 0],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['-5', null],
    ['1.5', null],
    ['soon', null],
    ['99999999999', MAX_RETRY_AFTER_MS],
    ['9'.repeat(400), MAX_RETRY_AFTER_MS],
    ['Thursday, 01-Jan-26 00:01:00 GMT', 60_000],
    ['Thu Jan  1 00:01:00 2026', 60_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 0],
    ['Sun, 31 Feb 2027 00:00:00 GMT', null],
    ['Thu, 29 Feb 2027 00:00:00 GMT', null],
    ['Thu, 01 Jan 2026 24:00:00 GMT', null],
    ['Thu, 01 Foo 2026 00:00:00 GMT', null],
    ['Thu, 00 Jan 2026 00:00:00 GMT', null],
    ['Fri, 31 Dec 9999 23:59:59 GMT', MAX_RETRY_AFTER_MS],
    ['', null],
    ['2026-01-01', null],
    [undefined, null],
  ])('%j is read as %j ms', (value, expected) => {
    expect(parseRetryAfter(value, nowMs)).toBe(expected);
  });
});
