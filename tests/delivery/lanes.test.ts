// What may wait in one process: new deliveries straight from commits, and room left for claimed ones.
import { expect, test } from 'vitest';
import { Lane } from '../../src/delivery/lane.ts';
import { Lanes } from '../../src/delivery/lanes.ts';
import type { Task } from '../../src/delivery/task.ts';
import { taskOf } from './tasks.ts';

const NOW = 1000;
const MEGABYTE = 1024 * 1024;

const many = (count: number, webhookId: string, own: Partial<Task> = {}): Task[] =>
  Array.from({ length: count }, (_, n) => taskOf(webhookId, n, own));
const pushAll = (lanes: Lanes, tasks: readonly Task[]): void => {
  for (const one of tasks) lanes.push(one, NOW);
};

test('a lane whose half is filled straight from commits is no longer open to them, and is again once it has room', () => {
  const lanes = new Lanes({ maxConcurrency: 64, endpointConcurrency: 16, leaseMs: 45_000 });
  const half = new Lane('a', 16, 45_000).directPlaces(NOW);
  pushAll(lanes, [...many(half, 'a'), ...many(half - 1, 'b')]);
  expect(lanes.crowded(NOW)).toEqual(['a']);
  const next = lanes.next(NOW, () => undefined);
  if (next === null) throw new Error('one may be sent');
  expect(lanes.crowded(NOW)).toEqual(['a']);
  lanes.finished(next.lane, next.task, NOW);
  expect(lanes.crowded(NOW)).toEqual([]);
});

test('webhooks are served in turn, however many each of them has waiting', () => {
  const lanes = new Lanes({ maxConcurrency: 64, endpointConcurrency: 16, leaseMs: 45_000 });
  pushAll(lanes, [...many(4, 'a'), ...many(2, 'b'), ...many(1, 'c')]);
  const served = Array.from({ length: 5 }, () => lanes.next(NOW, () => undefined));
  expect(served.map((next) => next?.lane.webhookId)).toEqual(['a', 'b', 'c', 'a', 'b']);
  for (const next of served) if (next !== null) lanes.finished(next.lane, next.task, NOW);
  pushAll(lanes, many(1, 'b'));
  const rest = Array.from({ length: 4 }, () => lanes.next(NOW, () => undefined)?.lane.webhookId);
  expect(rest).toEqual(['a', 'b', 'a', undefined]);
});

test('a closed lane is not open to commits until its pause is over', () => {
  const lanes = new Lanes({ maxConcurrency: 64, endpointConcurrency: 16, leaseMs: 45_000 });
  pushAll(lanes, many(1, 'a'));
  const next = lanes.next(NOW, () => undefined);
  next?.lane.pauseUntil(NOW + 500);
  if (next !== null) lanes.finished(next.lane, next.task, NOW);
  expect(lanes.crowded(NOW)).toEqual(['a']);
  expect(lanes.crowded(NOW + 500)).toEqual([]);
});

test('a lane that is forgotten is forgotten whole, also where nobody asks who is crowded', () => {
  const lanes = new Lanes({ maxConcurrency: 64, endpointConcurrency: 16, leaseMs: 45_000 });
  pushAll(lanes, many(1, 'a'));
  const next = lanes.next(NOW, () => undefined);
  next?.lane.pauseUntil(NOW + 500);
  if (next !== null) lanes.finished(next.lane, next.task, NOW);
  lanes.room(NOW + 500);
  expect(lanes.crowded(NOW)).toEqual([]);
});

test('however many wait straight from commits, as many may be claimed', () => {
  const lanes = new Lanes({ maxConcurrency: 8, endpointConcurrency: 16, leaseMs: 45_000 });
  const before = lanes.claimable(NOW);
  for (let n = 0; n < 1000 && lanes.isOpenToCommits(NOW); n += 1) pushAll(lanes, many(8, `webhook_${n}`));
  expect(lanes.isOpenToCommits(NOW)).toBe(false);
  expect(lanes.claimable(NOW)).toBe(before);
});

test('a flood straight from commits waits here for seconds at the pace of sending, and no longer', () => {
  const lanes = new Lanes({ maxConcurrency: 8, endpointConcurrency: 16, leaseMs: 45_000 });
  const fill = (): number => {
    let taken = 0;
    for (; lanes.isOpenToCommits(NOW); taken += 1) pushAll(lanes, many(1, `webhook_${taken % 50}`));
    return taken;
  };
  expect(fill()).toBe(128);
  for (let n = 0; n < 10; n += 1) {
    const next = lanes.next(NOW, () => undefined);
    if (next !== null) lanes.finished(next.lane, next.task, NOW);
  }
  // Twenty times what has just ended, less the 118 that are still here.
  expect(fill()).toBe(10 * 20 - 118);
});

test('large payloads straight from commits leave memory for those that are claimed', () => {
  const lanes = new Lanes({ maxConcurrency: 1000, endpointConcurrency: 1000, leaseMs: 45_000 });
  for (let n = 0; n < 1000 && lanes.isOpenToCommits(NOW); n += 1) pushAll(lanes, many(1, 'a', { data: 'x'.repeat(MEGABYTE) }));
  expect(lanes.isOpenToCommits(NOW)).toBe(false);
  expect(lanes.claimable(NOW)).toBeGreaterThan(0);
});

test('after everything was sent or taken out nothing is counted any more', () => {
  const lanes = new Lanes({ maxConcurrency: 4, endpointConcurrency: 16, leaseMs: 45_000 });
  const before = lanes.claimable(NOW);
  pushAll(lanes, [...many(8, 'a'), ...many(100, 'b', { isDirect: false })]);
  expect(lanes.claimable(NOW)).toBe(0);
  for (let n = 0; n < 4; n += 1) {
    const next = lanes.next(NOW, () => undefined);
    if (next === null) throw new Error('four may be sent at once');
    if (n > 1) lanes.finished(next.lane, next.task, NOW);
  }
  expect(lanes.inFlight).toBe(2);
  expect(lanes.clearAll().length).toBe(104);
  expect(lanes.claimable(NOW + 1000)).toBe(before - 2);
  expect(lanes.crowded(NOW)).toEqual([]);
});

test('behind requests that do not end nothing is fetched ahead; behind those that do, as much as ends', () => {
  const lanes = new Lanes({ maxConcurrency: 4, endpointConcurrency: 16, leaseMs: 45_000 });
  pushAll(lanes, many(5, 'a', { isDirect: false }));
  const started = Array.from({ length: 4 }, () => lanes.next(NOW, () => undefined));
  for (const one of lanes.clearAll()) expect(one.webhookId).toBe('a');
  expect(lanes.claimable(NOW)).toBe(0);
  expect(lanes.isOpenToCommits(NOW)).toBe(false);
  for (const one of started.slice(0, 2)) if (one !== null) lanes.finished(one.lane, one.task, NOW);
  expect(lanes.claimable(NOW)).toBe(4);
  expect(lanes.isOpenToCommits(NOW)).toBe(true);
  expect(lanes.claimable(NOW + 1000)).toBe(2);
});
