// TimeoutSet of one length: reported in order and once, and at no cost while nothing waits.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { TimeoutSet } from '../../src/lifecycle/timeout-set.ts';

const LATE_MS = 250;

let over: object[];
let waits: TimeoutSet<object>;
beforeEach(() => {
  vi.useFakeTimers();
  over = [];
  waits = new TimeoutSet(1000, (waiter) => over.push(waiter));
});
afterEach(() => void vi.useRealTimers());

test('each that has waited too long is reported once, in the order they began', () => {
  const [first, second] = [{}, {}];
  waits.begin(first);
  vi.advanceTimersByTime(400);
  waits.begin(second);
  vi.advanceTimersByTime(599);
  expect(over).toEqual([]);
  vi.advanceTimersByTime(1 + LATE_MS);
  expect(over.length).toBe(1);
  expect(over[0]).toBe(first);
  vi.advanceTimersByTime(5000);
  expect(over.length).toBe(2);
  expect(over[1]).toBe(second);
});

test('a wait that has ended is not reported, however often it ends', () => {
  const [ended, waiting] = [{}, {}];
  waits.begin(ended);
  waits.begin(waiting);
  waits.end(ended);
  waits.end(ended);
  vi.advanceTimersByTime(5000);
  waits.end(waiting);
  expect(over.length).toBe(1);
  expect(over[0]).toBe(waiting);
});

test('one that began earlier than now counts from then', () => {
  waits.begin({}, performance.now() - 900);
  vi.advanceTimersByTime(100 + LATE_MS);
  expect(over.length).toBe(1);
});

test('nothing is looked at while nothing waits, and again when something does', () => {
  const waiter = {};
  waits.begin(waiter);
  waits.end(waiter);
  vi.advanceTimersByTime(LATE_MS);
  expect(vi.getTimerCount()).toBe(0);
  waits.begin(waiter);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1000 + LATE_MS);
  expect(over.length).toBe(1);
  expect(vi.getTimerCount()).toBe(0);
});

test('what is reported may begin another wait', () => {
  let told = 0;
  const again: TimeoutSet<object> = new TimeoutSet(1000, (waiter) => {
    told += 1;
    if (told < 3) again.begin(waiter);
  });
  again.begin({});
  vi.advanceTimersByTime(10_000);
  expect(told).toBe(3);
  expect(vi.getTimerCount()).toBe(0);
});
