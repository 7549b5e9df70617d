// What may wait and be in flight in one process: new deliveries straight from commits, room left for claimed ones, and a share for each user.
import { describe, expect, test } from 'vitest';
import { Lane, type Started } from '../../src/delivery/lane.ts';
import { Lanes } from '../../src/delivery/lanes.ts';
import type { Task } from '../../src/delivery/task.ts';
import { UserLanes } from '../../src/delivery/user-lanes.ts';
import { taskOf } from './tasks.ts';

const NOW = 1000;
const MEGABYTE = 1024 * 1024;
const TIMEOUT_MS = 10_000;

const lanesOf = (maxConcurrency: number, endpointConcurrency = 16): Lanes =>
  new Lanes({ maxConcurrency, endpointConcurrency, leaseMs: 45_000 });
const many = (count: number, webhookId: string, own: Partial<Task> = {}): Task[] =>
  Array.from({ length: count }, (_, n) => taskOf(webhookId, n, own));
/** Each webhook belongs to the user whose name stands before the dot. */
const userOf = (webhookId: string): string => webhookId.split('.')[0] ?? '';
const pushAll = (lanes: Lanes, tasks: readonly Task[], now = NOW): Task[] =>
  tasks.filter((task) => !lanes.push(task, userOf(task.webhookId), now));

/** Starts whatever may start. */
function startAll(lanes: Lanes, now = NOW): Started[] {
  const all: Started[] = [];
  for (let next = lanes.next(now, () => undefined); next !== null; next = lanes.next(now, () => undefined)) all.push(next);
  return all;
}

/** Ends requests as the dispatcher does. */
function endAll(lanes: Lanes, all: readonly Started[], now: number, error: 'timeout' | null = null): void {
  for (const started of all) {
    started.lane.learn(error, now - started.atMs, now);
    lanes.finished(started, now);
  }
}

/** Lets these receivers answer once within 10 ms. */
function makeFast(lanes: Lanes, webhookIds: readonly string[], now = NOW): void {
  for (const webhookId of webhookIds) {
    pushAll(lanes, many(1, webhookId), now - 10);
    endAll(lanes, startAll(lanes, now - 10), now);
  }
}

test('a lane whose half is filled straight from commits is no longer open to them, and is again once it has room', () => {
  const lanes = lanesOf(64);
  const half = new Lane('a', new UserLanes('a'), 16, 45_000).freeForInserts(NOW);
  pushAll(lanes, [...many(half, 'a'), ...many(half - 1, 'b')]);
  expect(lanes.full(NOW)).toEqual({ webhookIds: ['a'], userIds: [] });
  const next = lanes.next(NOW, () => undefined);
  if (next === null) throw new Error('one may be sent');
  expect(lanes.full(NOW).webhookIds).toEqual(['a']);
  lanes.finished(next, NOW);
  expect(lanes.full(NOW).webhookIds).toEqual([]);
});

test('webhooks of a user are served in turn, however many each of them has waiting', () => {
  const lanes = lanesOf(64);
  pushAll(lanes, [...many(4, 'u.a'), ...many(2, 'u.b'), ...many(1, 'u.c')]);
  const served = Array.from({ length: 5 }, () => lanes.next(NOW, () => undefined));
  expect(served.map((next) => next?.lane.webhookId)).toEqual(['u.a', 'u.b', 'u.c', 'u.a', 'u.b']);
  for (const next of served) if (next !== null) lanes.finished(next, NOW);
  pushAll(lanes, many(1, 'u.b'));
  const rest = Array.from({ length: 4 }, () => lanes.next(NOW, () => undefined)?.lane.webhookId);
  expect(rest).toEqual(['u.a', 'u.b', 'u.a', undefined]);
});

test('users are served in turn, however many webhooks each of them has', () => {
  const lanes = lanesOf(64);
  const ofMany = Array.from({ length: 20 }, (_, n) => many(2, `many.${n}`)).flat();
  pushAll(lanes, [...ofMany, ...many(3, 'one.a'), ...many(1, 'other.a')]);
  const served = Array.from({ length: 6 }, () => lanes.next(NOW, () => undefined)?.lane.webhookId);
  expect(served).toEqual(['many.0', 'one.a', 'other.a', 'many.1', 'one.a', 'many.2']);
});

test('a closed lane is not open to commits until its pause is over', () => {
  const lanes = lanesOf(64);
  pushAll(lanes, many(1, 'a'));
  const next = lanes.next(NOW, () => undefined);
  next?.lane.pauseUntil(NOW + 500);
  if (next !== null) lanes.finished(next, NOW);
  expect(lanes.full(NOW).webhookIds).toEqual(['a']);
  expect(lanes.full(NOW + 500).webhookIds).toEqual([]);
});

test('a lane that is forgotten is forgotten whole, also when no commit asks which are full', () => {
  const lanes = lanesOf(64);
  pushAll(lanes, many(1, 'a'));
  const next = lanes.next(NOW, () => undefined);
  next?.lane.pauseUntil(NOW + 500);
  if (next !== null) lanes.finished(next, NOW);
  lanes.room(NOW + 500);
  expect(lanes.full(NOW)).toEqual({ webhookIds: [], userIds: [] });
});

test('however many wait straight from commits, as many may be claimed', () => {
  const lanes = lanesOf(8);
  const before = lanes.claimable(NOW);
  for (let n = 0; n < 1000 && lanes.takesInserts(NOW); n += 1) pushAll(lanes, many(8, `webhook_${n}`));
  expect(lanes.takesInserts(NOW)).toBe(false);
  expect(lanes.claimable(NOW)).toBe(before);
});

test('a flood straight from commits waits here for seconds at the pace of sending, and no longer', () => {
  const lanes = lanesOf(8);
  const fill = (): number => {
    let taken = 0;
    for (; lanes.takesInserts(NOW); taken += 1) pushAll(lanes, many(1, `webhook_${taken % 50}`));
    return taken;
  };
  expect(fill()).toBe(128);
  for (let n = 0; n < 10; n += 1) {
    const next = lanes.next(NOW, () => undefined);
    if (next !== null) lanes.finished(next, NOW);
  }
  // Twenty times what has just ended, less the 118 that are still here.
  expect(fill()).toBe(10 * 20 - 118);
});

test('large payloads straight from commits leave memory for those that are claimed', () => {
  const lanes = lanesOf(1000, 1000);
  for (let n = 0; n < 1000 && lanes.takesInserts(NOW); n += 1) pushAll(lanes, many(1, 'a', { data: 'x'.repeat(MEGABYTE) }));
  expect(lanes.takesInserts(NOW)).toBe(false);
  expect(lanes.claimable(NOW)).toBeGreaterThan(0);
});

test('after everything was sent or taken out nothing is counted any more', () => {
  const lanes = lanesOf(16);
  makeFast(lanes, ['u.b']);
  pushAll(lanes, [...many(8, 'u.a'), ...many(100, 'u.b', { isInserted: false })]);
  expect(lanes.claimable(NOW)).toBe(0);
  const started = startAll(lanes);
  endAll(lanes, started.slice(2), NOW);
  expect(lanes.inFlight).toBe(2);
  lanes.clearAll();
  expect(lanes.claimable(NOW + 1000)).toBe(16 - 2);
  expect(lanes.full(NOW)).toEqual({ webhookIds: [], userIds: [] });
  expect(lanes.overShare(NOW)).toEqual([]);
});

test('behind requests that do not end nothing is fetched ahead; behind those that do, as much as ends', () => {
  const lanes = lanesOf(4);
  makeFast(lanes, ['a', 'b', 'c', 'd'], 0);
  pushAll(lanes, [...many(2, 'a'), ...many(2, 'b'), ...many(2, 'c'), ...many(2, 'd')]);
  const started = startAll(lanes);
  expect(started).toHaveLength(4);
  lanes.clearAll();
  expect(lanes.claimable(NOW)).toBe(0);
  expect(lanes.takesInserts(NOW)).toBe(false);
  for (const one of started.slice(0, 2)) lanes.finished(one, NOW);
  expect(lanes.claimable(NOW)).toBe(4);
  expect(lanes.takesInserts(NOW)).toBe(true);
  expect(lanes.claimable(NOW + 1000)).toBe(2);
});

describe('with 512 places', () => {
  const PLACES = 512;
  /** A hundred webhooks with twenty deliveries each. */
  const crowdOf = (user: string, own: Partial<Task> = {}): Task[] =>
    Array.from({ length: 100 }, (_, n) => many(20, `${user}.${n}`, own)).flat();
  const heldBy = (all: readonly Started[], user: string): number => all.filter(({ lane }) => lane.user.userId === user).length;

  test('a user whose receivers are not known to be fast holds a quarter', () => {
    const lanes = lanesOf(PLACES);
    pushAll(lanes, crowdOf('slow'));
    expect(startAll(lanes)).toHaveLength(PLACES / 4);
  });

  test('six such users leave a third to the next user', () => {
    const lanes = lanesOf(PLACES);
    for (let n = 0; n < 6; n += 1) pushAll(lanes, crowdOf(`slow${n}`));
    const held = startAll(lanes);
    expect(held.length).toBeLessThan((PLACES * 7) / 10);
    pushAll(lanes, many(16, 'healthy.a'));
    expect(startAll(lanes)).toHaveLength(16);
  });

  test('a hundred such users leave an eighth to receivers that answer fast', () => {
    const lanes = lanesOf(PLACES);
    makeFast(lanes, ['healthy.a']);
    for (let n = 0; n < 200; n += 1) pushAll(lanes, many(16, `slow${n}.a`));
    const held = startAll(lanes);
    expect(held.length).toBeLessThanOrEqual((PLACES * 7) / 8);
    pushAll(lanes, many(16, 'healthy.a'));
    expect(startAll(lanes).map(({ lane }) => lane.webhookId)).toEqual(Array.from({ length: 16 }, () => 'healthy.a'));
  });

  test('a user whose receivers answer fast has three quarters, and a quarter again once they hang', () => {
    const lanes = lanesOf(PLACES);
    const webhookIds = Array.from({ length: 100 }, (_, n) => `fast.${n}`);
    makeFast(lanes, webhookIds);
    pushAll(lanes, crowdOf('fast'));
    const started = startAll(lanes);
    expect(started).toHaveLength((PLACES * 3) / 4);
    // They hang. The next user finds places, and they get none back that they held.
    const later = NOW + 2000;
    pushAll(lanes, many(16, 'healthy.a'), later);
    expect(heldBy(startAll(lanes, later), 'healthy')).toBe(16);
    endAll(lanes, started.slice(0, 200), NOW + TIMEOUT_MS, 'timeout');
    expect(startAll(lanes, NOW + TIMEOUT_MS)).toEqual([]);
  });

  test('what is claimed beyond the share of such a user goes back, and is not claimed again', () => {
    const lanes = lanesOf(PLACES);
    const claimed = crowdOf('slow', { isInserted: false }).slice(0, 500);
    expect(pushAll(lanes, claimed)).toHaveLength(500 - PLACES / 4);
    startAll(lanes);
    const room = lanes.room(NOW);
    expect(new Set(claimed.map(({ webhookId }) => webhookId))).toEqual(new Set(room.keys()));
    expect(new Set(room.values())).toEqual(new Set([0]));
    expect(lanes.claimable(NOW)).toBe((PLACES * 3) / 4);
    expect(pushAll(lanes, many(16, 'healthy.a', { isInserted: false }))).toEqual([]);
  });

  test('a user who had no room for claims has some again once requests have ended', () => {
    const lanes = lanesOf(PLACES);
    pushAll(lanes, crowdOf('slow', { isInserted: false }));
    const started = startAll(lanes);
    lanes.room(NOW);
    const [first, ...others] = started;
    if (first === undefined) throw new Error('something has started');
    expect(lanes.hasRegained(first.lane, NOW)).toBe(false);
    endAll(lanes, [first, ...others.slice(0, 50)], NOW + 5000);
    expect(lanes.hasRegained(first.lane, NOW + 5000)).toBe(true);
    const places = [...lanes.room(NOW + 5000).values()].reduce((sum, each) => sum + each, 0);
    expect(places).toBeGreaterThan(0);
    expect(places).toBeLessThanOrEqual(PLACES / 4);
  });

  test('what was claimed for receivers that hang since then goes back before it keeps others from being claimed', () => {
    const lanes = lanesOf(PLACES);
    makeFast(
      lanes,
      Array.from({ length: 100 }, (_, n) => `fast.${n}`),
    );
    expect(pushAll(lanes, crowdOf('fast', { isInserted: false }).slice(0, 1000))).toEqual([]);
    startAll(lanes);
    expect(lanes.overShare(NOW)).toEqual([]);
    expect(lanes.claimable(NOW)).toBe(0);
    for (const lane of lanes.overShare(NOW + 2000)) lanes.clear(lane);
    expect(lanes.claimable(NOW + 2000)).toBe(PLACES / 4);
  });

  test('a user with webhooks that have no room leaves the others’ commits what they had', () => {
    const lanes = lanesOf(PLACES);
    pushAll(lanes, crowdOf('slow'));
    endAll(lanes, startAll(lanes), NOW + TIMEOUT_MS, 'timeout');
    startAll(lanes, NOW + TIMEOUT_MS);
    pushAll(lanes, crowdOf('slow'), NOW + TIMEOUT_MS);
    expect(lanes.takesInserts(NOW + TIMEOUT_MS)).toBe(true);
    expect(lanes.full(NOW + TIMEOUT_MS)).toEqual({ webhookIds: [], userIds: ['slow'] });
  });

  test('large payloads for receivers that hang leave three quarters of the memory to others', () => {
    const lanes = lanesOf(PLACES);
    const large = { isInserted: false, data: 'x'.repeat(MEGABYTE) };
    expect(pushAll(lanes, crowdOf('slow', large)).length).toBeGreaterThan(0);
    startAll(lanes);
    expect(lanes.claimable(NOW)).toBeGreaterThan(64);
    expect(lanes.takesInserts(NOW)).toBe(true);
    expect(pushAll(lanes, many(8, 'healthy.a', large))).toEqual([]);
  });

  test('a receiver is remembered as fast after its lane is gone', () => {
    const lanes = lanesOf(PLACES);
    makeFast(lanes, ['healthy.a']);
    lanes.room(NOW);
    for (let n = 0; n < 200; n += 1) pushAll(lanes, many(16, `slow${n}.a`));
    startAll(lanes);
    pushAll(lanes, many(1, 'healthy.a'));
    expect(startAll(lanes).map(({ isFast }) => isFast)).toEqual([true]);
  });
});

describe('receivers that are away', () => {
  const probeOf = (webhookId: string): Task => {
    const task = taskOf(webhookId, 0, { isInserted: false });
    return { ...task, lease: { ...task.lease, leasedIn: 'index', isProbe: true } };
  };

  test('are no part of the limits of a claim, however many', () => {
    const lanes = lanesOf(64);
    for (let n = 0; n < 1000; n += 1) {
      pushAll(lanes, [probeOf(`u${n}.a`)]);
      endAll(lanes, startAll(lanes), NOW, 'timeout');
    }
    expect(lanes.room(NOW).size).toBe(0);
    expect(new Set(lanes.roomOfSuspects(NOW).values())).toEqual(new Set([0]));
    expect(lanes.roomOfSuspects(NOW).size).toBe(1000);
  });

  test('are probed four at a time, and hold a quarter of all places at most', () => {
    const lanes = lanesOf(64);
    expect(lanes.maxProbes).toBe(4);
    pushAll(
      lanes,
      Array.from({ length: 14 }, (_, n) => probeOf(`u${n}.a`)),
    );
    expect(lanes.maxProbes).toBe(2);
    pushAll(
      lanes,
      Array.from({ length: 2 }, (_, n) => probeOf(`v${n}.a`)),
    );
    expect(lanes.maxProbes).toBe(0);
    endAll(lanes, startAll(lanes), NOW + TIMEOUT_MS, 'timeout');
    lanes.clearAll();
    expect(lanes.maxProbes).toBe(4);
  });
});

describe('the room of a claim', () => {
  const usual = 16;
  const answer = (lanes: Lanes, webhookId: string, times: number, ms = 10): void => {
    for (let n = 0; n < times; n += 1) {
      pushAll(lanes, many(1, webhookId), NOW - ms);
      endAll(lanes, startAll(lanes, NOW - ms), NOW);
    }
  };
  const leasedOf = (webhookId: string, count: number): { webhookId: string }[] =>
    Array.from({ length: count }, () => ({ webhookId }));

  test('is wider for a webhook whose receiver keeps up and whose last claim was full, and for no other', () => {
    const lanes = lanesOf(512);
    for (const webhookId of ['u.full', 'u.part']) answer(lanes, webhookId, 8);
    lanes.learnFilled(
      [...leasedOf('u.full', usual), ...leasedOf('u.part', usual - 1), ...leasedOf('u.new', usual)],
      new Map(),
      NOW,
    );
    expect([...lanes.room(NOW)]).toEqual([['u.full', usual + 2 * 8]]);
  });

  test('stays wider while each claim fills the usual of it, tighter limits included', () => {
    const lanes = lanesOf(512);
    answer(lanes, 'u.a', 8);
    lanes.learnFilled(leasedOf('u.a', 9), new Map([['u.a', 9]]), NOW);
    expect(lanes.room(NOW + 1999).get('u.a')).toBe(usual + 2 * 8);
    expect(lanes.room(NOW + 2000).get('u.a')).toBeUndefined();
  });

  test('is never wider for a receiver that has not answered, or that hangs', () => {
    const lanes = lanesOf(512);
    answer(lanes, 'u.hung', 100);
    pushAll(lanes, many(1, 'u.hung'), NOW + TIMEOUT_MS);
    endAll(lanes, startAll(lanes, NOW + TIMEOUT_MS), NOW + 2 * TIMEOUT_MS, 'timeout');
    pushAll(lanes, many(1, 'u.new'), NOW + 2 * TIMEOUT_MS);
    lanes.learnFilled([...leasedOf('u.new', usual), ...leasedOf('u.hung', usual)], new Map(), NOW + 2 * TIMEOUT_MS);
    for (const places of lanes.room(NOW + 2 * TIMEOUT_MS).values()) expect(places).toBeLessThanOrEqual(usual);
  });

  test('names no more webhooks than fill a claim', () => {
    const lanes = lanesOf(512);
    const webhookIds = Array.from({ length: 100 }, (_, n) => `u.${n}`);
    for (const webhookId of webhookIds) answer(lanes, webhookId, 2);
    lanes.learnFilled(
      webhookIds.flatMap((webhookId) => leasedOf(webhookId, usual)),
      new Map(),
      NOW,
    );
    expect(lanes.room(NOW).size).toBe(32);
  });
});

describe('a flood for one webhook', () => {
  const UNKNOWN = 64;

  test('waits here straight from commits, while its receiver is fast, and leaves a quarter of the places to others', () => {
    const heldWhenAnsweredIn = (ms: number): number => {
      const lanes = lanesOf(512);
      pushAll(lanes, many(1, 'u.a'), NOW - ms);
      endAll(lanes, startAll(lanes, NOW - ms), NOW);
      let held = 0;
      for (; lanes.full(NOW).webhookIds.length === 0; held += 100) pushAll(lanes, many(100, 'u.a'));
      expect(lanes.takesInserts(NOW)).toBe(true);
      return held;
    };
    // Half of what it responds to in five seconds, sixteen at a time.
    expect(heldWhenAnsweredIn(10)).toBe(4000);
    expect(heldWhenAnsweredIn(1) / (16 * 512)).toBeCloseTo(0.75, 1);
  });

  test('is brought by commits as far as it has room twice over, and no further than usual for a receiver that is not known to be fast', () => {
    const lanes = lanesOf(512);
    makeFast(lanes, ['u.a', 'v.a']);
    expect(lanes.maxInsertLeasesOf('u', UNKNOWN, NOW)).toBeGreaterThan(1000);
    pushAll(lanes, many(1, 'v.slow'));
    expect(lanes.maxInsertLeasesOf('v', UNKNOWN, NOW)).toBe(UNKNOWN);
    expect(lanes.maxInsertLeasesOf('nobody', UNKNOWN, NOW)).toBe(UNKNOWN);
  });

  test('goes back once its receiver has become so slow that its leases would end before its turn', () => {
    const lanes = lanesOf(512);
    makeFast(lanes, ['u.a', 'v.a']);
    pushAll(lanes, [...many(1000, 'u.a'), ...many(16, 'v.a')]);
    expect(lanes.overShare(NOW)).toEqual([]);
    for (let turn = 1; turn <= 3; turn += 1) {
      const at = NOW + turn * 9000;
      endAll(lanes, startAll(lanes, at - 9000), at);
    }
    expect(lanes.overShare(NOW + 27_000).map((lane) => lane.webhookId)).toEqual(['u.a']);
  });
});
