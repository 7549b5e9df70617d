// A lane keeps one webhook from taking more than its share, and from being asked while its receiver is away.
import { describe, expect, test } from 'vitest';
import { Lane, type Started } from '../../src/delivery/lane.ts';
import { UserLanes } from '../../src/delivery/user-lanes.ts';
import { taskOf } from './tasks.ts';

const MAX_IN_FLIGHT = 16;

function laneWith(count: number): Lane {
  const lane = new Lane('webhook_1', new UserLanes('alice'), MAX_IN_FLIGHT, 45_000);
  for (let n = 0; n < count; n += 1) lane.push(taskOf('webhook_1', n));
  return lane;
}

/** Starts whatever may be started at `now`; answers how many. */
function startAll(lane: Lane, now: number): number {
  return start(lane, now).length;
}

function start(lane: Lane, now: number): Started[] {
  const all: Started[] = [];
  while (lane.canStart(now)) {
    const task = lane.shift();
    if (task === undefined) break;
    all.push(lane.start(task, now, false));
  }
  return all;
}

/** So many responses, each within so many milliseconds. */
function learn(lane: Lane, responses: number, ms: number): void {
  for (let n = 0; n < responses; n += 1) lane.learn(null, ms, 0);
}

function endAll(all: readonly Started[]): number {
  for (const started of all) started.lane.end(started);
  return all.length;
}

describe('a lane', () => {
  test('gives out its deliveries in order, each once, however many', () => {
    const lane = laneWith(0);
    const given: string[] = [];
    for (let n = 0; n < 1000; n += 1) {
      lane.push(taskOf('webhook_1', n));
      if (n % 3 !== 0) given.push(lane.shift()?.deliveryId ?? '');
    }
    given.push(...lane.clear().map((item) => item.deliveryId));
    expect(given).toEqual(Array.from({ length: 1000 }, (_, n) => `delivery_${n}`));
    expect(lane.shift()).toBeUndefined();
  });

  test('has no more in flight than it may', () => {
    expect(startAll(laneWith(100), 0)).toBe(MAX_IN_FLIGHT);
  });

  test('has fewer in flight after timeouts, and slowly more again after successes', () => {
    const lane = laneWith(1000);
    lane.learn('timeout', 2000, 0);
    lane.learn('timeout', 2000, 0);
    expect(endAll(start(lane, 0))).toBe(4);
    for (let n = 0; n < 20; n += 1) lane.learn(null, 10, 0);
    expect(endAll(start(lane, 0))).toBeGreaterThan(4);
    for (let n = 0; n < 1000; n += 1) lane.learn(null, 10, 0);
    expect(startAll(lane, 0)).toBe(MAX_IN_FLIGHT);
  });

  test('closes after five failures in a row without an answer, and opens with a single probe', () => {
    const lane = laneWith(100);
    for (let n = 0; n < 5; n += 1) lane.learn('connection_refused', 1, 0);
    expect(lane.canStart(999)).toBe(false);
    expect(lane.room(999)).toBe(0);
    expect(startAll(lane, 1000)).toBe(1);
  });

  test('stays closed for longer after each failed probe, up to ten seconds', () => {
    const lane = laneWith(100);
    let now = 0;
    const pauses: number[] = [];
    for (let n = 0; n < 5; n += 1) lane.learn('connection_refused', 1, now);
    for (let probe = 0; probe < 6; probe += 1) {
      pauses.push(lane.closedUntil - now);
      now = lane.closedUntil;
      lane.learn('connection_refused', 1, now);
    }
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  test('opens at once with any response, even an error', () => {
    const lane = laneWith(100);
    for (let n = 0; n < 8; n += 1) lane.learn('dns_error', 1, n);
    lane.learn('http_status', 5, 100);
    expect(lane.canStart(100)).toBe(true);
    expect(startAll(lane, 100)).toBe(MAX_IN_FLIGHT);
  });

  test('says for how long the schedule is to leave it alone, that the receiver responds, or nothing where that is not known', () => {
    const lane = laneWith(0);
    expect(lane.leftAloneForMs(0)).toBe(0);
    lane.learn('timeout', 10, 0);
    expect(lane.leftAloneForMs(0)).toBeUndefined();
    for (let n = 1; n < 5; n += 1) lane.learn('timeout', 10, 0);
    expect(lane.leftAloneForMs(400)).toBe(600);
    lane.learn('http_status', 10, 2000);
    expect(lane.leftAloneForMs(2000)).toBe(0);
  });

  test('sends one request alone to a receiver that others found away, and closes when that fails', () => {
    const lane = laneWith(10);
    lane.suspect();
    expect(startAll(lane, 0)).toBe(1);
    lane.learn('connection_refused', 1, 0);
    expect(lane.isClosed(0)).toBe(true);
  });

  test('stays at its rate limit while successes come in', () => {
    const lane = laneWith(10);
    lane.limitUntil(500);
    lane.learn(null, 5, 100);
    expect(lane.canStart(499)).toBe(false);
    expect(lane.canStart(500)).toBe(true);
  });

  test('takes no more than its webhook may be sent in a second, and remembers that', () => {
    const lane = laneWith(0);
    lane.ratePerSecond = 5;
    lane.learn(null, 1, 0);
    expect([lane.room(0), lane.freeForInserts(0), lane.isIdle(0)]).toEqual([5, 2, false]);
  });

  test('fetches ahead what its receiver answers in five seconds, or may be taken to, and no more than so many', () => {
    const answersIn = (ms: number): number => {
      const lane = laneWith(0);
      learn(lane, 64 * MAX_IN_FLIGHT, ms);
      return lane.room(0);
    };
    expect(answersIn(1)).toBe(64 * MAX_IN_FLIGHT);
    expect(answersIn(500)).toBe(10 * MAX_IN_FLIGHT);
    expect(answersIn(12_000)).toBe(2);
    expect(laneWith(0).room(0)).toBe(MAX_IN_FLIGHT);
    expect(laneWith(0).freeForInserts(0)).toBe(Math.floor(answersIn(300) / 2));
    // A third of a short lease.
    const hurried = new Lane('a', new UserLanes('alice'), MAX_IN_FLIGHT, 3000);
    learn(hurried, 64 * MAX_IN_FLIGHT, 500);
    expect(hurried.room(0)).toBe(2 * MAX_IN_FLIGHT);
  });

  test('has room for as many claimed deliveries as may be in flight until its receiver has responded, and for more with each response', () => {
    const lane = laneWith(0);
    expect(lane.room(0)).toBe(MAX_IN_FLIGHT);
    learn(lane, MAX_IN_FLIGHT, 5);
    expect(lane.room(0)).toBe(3 * MAX_IN_FLIGHT);
    learn(lane, 1000, 5);
    expect(lane.room(0)).toBe(64 * MAX_IN_FLIGHT);
    lane.learn('connection_reset', 5, 0);
    expect(lane.room(0)).toBe(MAX_IN_FLIGHT);
  });

  test('asks for more once half of what it may hold is done with, so that claims stay large', () => {
    const lane = laneWith(0);
    learn(lane, MAX_IN_FLIGHT, 5);
    lane.push(taskOf('webhook_1', 0));
    lane.waiting.claimed = 2 * MAX_IN_FLIGHT;
    expect(lane.room(0)).toBe(0);
    lane.waiting.claimed = 1.5 * MAX_IN_FLIGHT;
    expect(lane.room(0)).toBe(1.5 * MAX_IN_FLIGHT);
  });

  test('is remembered for two seconds after a claim that filled it', () => {
    const lane = laneWith(0);
    lane.wasFilled(0);
    expect([lane.isHungry(1999), lane.isIdle(1999)]).toEqual([true, false]);
    expect([lane.isHungry(2000), lane.isIdle(2000)]).toEqual([false, true]);
  });

  test('is fast once its receiver has answered within a second, and no longer when one is left unanswered for more', () => {
    const lane = laneWith(2);
    expect(lane.isFast(0)).toBe(false);
    lane.learn(null, 900, 0);
    expect(lane.isFast(0)).toBe(true);
    const all = start(lane, 0);
    expect(lane.isFast(1000)).toBe(true);
    expect(lane.isFast(1001)).toBe(false);
    endAll(all);
    expect(lane.isFast(1001)).toBe(true);
    for (let n = 0; n < 10; n += 1) lane.learn(null, 1500, 0);
    expect(lane.isFast(0)).toBe(false);
  });

  test('has fewer in flight the slower its receiver answers, though it never fails', () => {
    const inFlightAt = (ms: number): number => {
      const lane = laneWith(100);
      for (let n = 0; n < 50; n += 1) lane.learn(null, ms, 0);
      return startAll(lane, 0);
    };
    expect([10, 2000, 4000, 9000, 27_000].map(inFlightAt)).toEqual([16, 16, 8, 3, 2]);
  });

  test('is forgotten only when it has nothing in hand and nothing to remember', () => {
    const lane = laneWith(1);
    expect(lane.isIdle(0)).toBe(false);
    lane.shift();
    expect(lane.isIdle(0)).toBe(true);
    lane.learn(null, 9000, 0);
    expect(lane.isIdle(299_000)).toBe(false);
    expect(lane.isIdle(301_000)).toBe(true);
    lane.learn('timeout', 2000, 0);
    expect(lane.isIdle(299_000)).toBe(false);
    expect(lane.isIdle(301_000)).toBe(true);
  });
});
