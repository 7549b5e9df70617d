// When the schedule is asked next.
import { afterEach, expect, test, vi } from 'vitest';
import { ClaimLoop, LONGEST_SLEEP_MS, type ClaimResult } from '../../src/delivery/claim-loop.ts';
import type { Leased } from '../../src/schedule/scheduler.ts';

const lease: Leased = { deliveryId: 'd', webhookId: 'w', leasedIn: 'row', token: 1, expirations: 0, expiresAt: 0 };
let stop: (() => Promise<void>) | undefined;

afterEach(async () => {
  vi.useRealTimers();
  await stop?.();
  stop = undefined;
});

/** A loop that claims these results one after the other, and then nothing; the times of its claims. */
function loopOver(results: ClaimResult[], isLow = true): { loop: ClaimLoop; claimedAt: number[] } {
  vi.useFakeTimers();
  const claimedAt: number[] = [];
  const loop: ClaimLoop = new ClaimLoop({
    claim: () => {
      claimedAt.push(Date.now() - startedAt);
      const result = results.shift() ?? { leased: [], nextDueInMs: null, isLimited: false };
      if (typeof result !== 'string') {
        loop.begin();
        loop.answered(result);
      }
      return Promise.resolve(result);
    },
    isLow: () => isLow,
    minEnded: 2,
  });
  const startedAt = Date.now();
  stop = () => loop.stop();
  loop.start();
  return { loop, claimedAt };
}

test('a claim that brought something, with more due, is followed by another at once', async () => {
  const { claimedAt } = loopOver([{ leased: [lease], nextDueInMs: 0, isLimited: false }]);
  await vi.advanceTimersByTimeAsync(0);
  expect(claimedAt).toEqual([0, 0]);
});

test('the schedule is asked when the next delivery is due, and at the latest after the longest sleep', async () => {
  const { claimedAt } = loopOver([{ leased: [], nextDueInMs: 300, isLimited: false }]);
  await vi.advanceTimersByTimeAsync(300 + LONGEST_SLEEP_MS);
  expect(claimedAt).toEqual([0, 300, 300 + LONGEST_SLEEP_MS]);
});

test('after a failure, and while everything due is blocked, it waits a little', async () => {
  const { claimedAt } = loopOver(['failed', { leased: [], nextDueInMs: 0, isLimited: false }]);
  await vi.advanceTimersByTimeAsync(560);
  expect(claimedAt).toEqual([0, 500, 550]);
});

test('after a failure it waits whatever wakes it, and ends at once when it is stopped', async () => {
  const { loop, claimedAt } = loopOver(['failed', 'failed']);
  for (let waitedMs = 0; waitedMs < 500; waitedMs += 10) {
    loop.wakeUp();
    await vi.advanceTimersByTimeAsync(10);
  }
  expect(claimedAt).toEqual([0, 500]);
  await loop.stop();
  expect(claimedAt).toEqual([0, 500]);
});

test('without a place nothing is asked until one is free', async () => {
  const { loop, claimedAt } = loopOver(['no place']);
  await vi.advanceTimersByTimeAsync(200);
  loop.freed(false);
  await vi.advanceTimersByTimeAsync(0);
  expect(claimedAt).toEqual([0, 200]);
});

test('what was left for a full lane is claimed when half of the last claim has ended, and not for every free place', async () => {
  const leased = Array.from({ length: 8 }, () => lease);
  const { loop, claimedAt } = loopOver([{ leased, nextDueInMs: 500, isLimited: true }]);
  await vi.advanceTimersByTimeAsync(10);
  for (let ended = 0; ended < 3; ended += 1) loop.countEnded();
  loop.freed(true);
  await vi.advanceTimersByTimeAsync(0);
  expect(claimedAt).toEqual([0]);
  loop.countEnded();
  loop.freed(true);
  await vi.advanceTimersByTimeAsync(0);
  expect(claimedAt).toEqual([0, 10]);
});

test('a wake-up during a claim is not lost', async () => {
  const { loop, claimedAt } = loopOver([]);
  loop.wakeUp();
  await vi.advanceTimersByTimeAsync(0);
  expect(claimedAt).toEqual([0, 0]);
});

test('a retry that is due before the next look wakes it in time', async () => {
  const { loop, claimedAt } = loopOver([]);
  await vi.advanceTimersByTimeAsync(1);
  loop.wakeIn(100);
  await vi.advanceTimersByTimeAsync(100);
  expect(claimedAt).toEqual([0, 101]);
});
