// Which store serves, and which rows may be claimed: decided from times alone.
import { describe, expect, test } from 'vitest';
import { FailoverState } from '../../src/schedule/failover-state.ts';
import { LOOK_MS, type Look } from '../../src/schedule/redis-presence.ts';
import { SUSPEND_MS } from '../../src/schedule/redis-scheduler.ts';

const START = 10_000;

function served(): FailoverState {
  const state = new FailoverState(START);
  state.returned();
  return state;
}

function look(of: Partial<Look>): Look {
  return { isAnyServed: false, isAnyCutOff: false, claimedAgoMs: null, claimedAt: START, askedAt: START, ...of };
}

describe('which store serves', () => {
  test('PostgreSQL does until Redis has replied once', () => {
    const state = new FailoverState(START);
    expect([state.store, state.isDegraded(START)]).toEqual(['postgres', true]);
    state.returned();
    expect([state.store, state.isDegraded(START)]).toEqual(['redis', false]);
  });

  test('two failures in a row are worth a check, a success between them starts anew, a decisive one is worth it at once', () => {
    const state = served();
    expect(state.redisFailed(false)).toBe(false);
    state.redisWorked();
    expect(state.redisFailed(false)).toBe(false);
    expect(state.redisFailed(false)).toBe(true);
    expect(served().redisFailed(true)).toBe(true);
  });

  test('Redis is left once', () => {
    const state = served();
    expect([state.leave(START), state.leave(START + 1), state.store]).toEqual([true, false, 'postgres']);
  });
});

describe('while Redis serves and others suspend its claims', () => {
  test('a claim is repeated before the suspension may end', () => {
    const state = served();
    state.claimAnswered(START, START + 10, 1000);
    expect(state.whileServed(START + 10)).toEqual({ retryInMs: 495 });
    state.claimAnswered(START + 500, START + 510, 0);
    expect(state.whileServed(START + 510)).toBeNull();
  });

  test('a suspension without a gap that lasts longer than a return takes opens the rows, from its beginning on', () => {
    const state = served();
    let now = START;
    for (; now <= START + 2 * SUSPEND_MS; now += 400) state.claimAnswered(now, now, 1000);
    const window = state.whileServed(now);
    expect(window).toMatchObject({ since: START });
    expect(state.isDegraded(now)).toBe(true);
  });

  test('a gap starts it anew', () => {
    const state = served();
    state.claimAnswered(START, START, 1000);
    let now = START + 1500;
    for (; now <= START + 2 * SUSPEND_MS + 400; now += 400) state.claimAnswered(now, now, 1000);
    expect(state.whileServed(now)).toHaveProperty('retryInMs');
  });
});

describe('while Redis is away', () => {
  test('rows are left alone when Redis serves another process whose claims are not suspended', () => {
    const state = served();
    state.leave(START);
    expect(state.whileAway(START, look({ isAnyServed: true }))).toBeNull();
  });

  test('a suspension opens them for as long as it lasts, from when it was first sent', () => {
    const state = served();
    state.leave(START);
    state.suspendSent(START + 100, START + 150, true);
    const window = state.whileAway(START + 200, look({ isAnyServed: true }));
    expect([window?.since, window?.until()]).toEqual([START + 150, START + 100 + SUSPEND_MS]);
  });

  test('a suspension without a reply opens nothing', () => {
    const state = served();
    state.leave(START);
    state.suspendSent(START + 100, START + 150, false);
    expect(state.whileAway(START + 200, null)?.until()).toBe(Number.NEGATIVE_INFINITY);
  });

  test('a process that was frozen for longer than its suspension counts from when it thaws', () => {
    const state = served();
    state.leave(START);
    state.suspendSent(START, START, true);
    state.suspendSent(START + 60_000, START + 60_010, true);
    expect(state.whileAway(START + 60_020, null)?.since).toBe(START + 60_010);
  });

  test('what a window allows ends when Redis is left anew meanwhile', () => {
    const state = served();
    state.leave(START);
    state.suspendSent(START, START, true);
    const window = state.whileAway(START + 10, null);
    state.suspendSent(START + 60_000, START + 60_000, true);
    expect(window?.until()).toBe(Number.NEGATIVE_INFINITY);
  });

  test('when no process is served, rows open from the last claim of any of them, and for as long as a look is good', () => {
    const state = served();
    state.claimAnswered(START, START + 20, 0);
    state.leave(START + 30);
    const window = state.whileAway(START + 100, look({ claimedAt: START + 60, askedAt: START + 90 }));
    expect(window?.since).toBe(START + 160);
    expect(window?.until()).toBe(START + 90 + LOOK_MS);
  });
});
