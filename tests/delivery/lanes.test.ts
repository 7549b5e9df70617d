// What may wait in one process: places are kept before they are used, and new deliveries leave room for claimed ones.
import { expect, test } from 'vitest';
import { Lanes } from '../../src/delivery/lanes.ts';
import type { Task } from '../../src/delivery/task.ts';
import { taskOf } from './tasks.ts';

const NOW = 1000;
const MEGABYTE = 1024 * 1024;

function reserveAll(lanes: Lanes, tasks: readonly Task[]): Task[] {
  return tasks.filter((one) => lanes.reserve(one, NOW));
}

const hundred = (webhookId: string, data = '{}'): Task[] =>
  Array.from({ length: 100 }, (_, n) => taskOf(webhookId, n, { data }));

test('commits that overlap fill half of a lane between them, not each of them', () => {
  const lanes = new Lanes({ maxConcurrency: 64, endpointConcurrency: 16 });
  expect(reserveAll(lanes, hundred('a'))).toHaveLength(8);
  expect(reserveAll(lanes, hundred('a'))).toHaveLength(0);
  expect(reserveAll(lanes, hundred('b'))).toHaveLength(8);
});

test('a place that was given up can be had again', () => {
  const lanes = new Lanes({ maxConcurrency: 64, endpointConcurrency: 16 });
  for (const one of reserveAll(lanes, hundred('a'))) lanes.giveUp(one);
  expect(reserveAll(lanes, hundred('a'))).toHaveLength(8);
});

test('however many wait straight from commits, as many may be claimed', () => {
  const lanes = new Lanes({ maxConcurrency: 8, endpointConcurrency: 16 });
  const before = lanes.claimable(NOW);
  let taken = 0;
  for (let n = 0; n < 100; n += 1) {
    for (const one of reserveAll(lanes, hundred(`webhook_${n}`))) {
      lanes.push(one);
      taken += 1;
    }
  }
  expect(taken).toBe(32);
  expect(lanes.claimable(NOW)).toBe(before);
});

test('large payloads straight from commits leave memory for those that are claimed', () => {
  const lanes = new Lanes({ maxConcurrency: 1000, endpointConcurrency: 1000 });
  expect(reserveAll(lanes, hundred('a', 'x'.repeat(MEGABYTE)))).toHaveLength(64);
  expect(lanes.claimable(NOW)).toBeGreaterThan(0);
});

test('after everything was sent or taken out nothing is counted any more', () => {
  const lanes = new Lanes({ maxConcurrency: 4, endpointConcurrency: 16 });
  const before = lanes.claimable(NOW);
  for (const one of reserveAll(lanes, hundred('a'))) lanes.push(one);
  for (const one of hundred('b')) lanes.push({ ...one, isDirect: false });
  expect(lanes.claimable(NOW)).toBe(0);
  for (let n = 0; n < 4; n += 1) {
    const next = lanes.next(NOW, () => undefined);
    if (next === null) throw new Error('four may be sent at once');
    if (n > 1) lanes.finished(next.lane, next.task, NOW);
  }
  expect(lanes.inFlight).toBe(2);
  expect(lanes.clearAll().length).toBe(104);
  const later = NOW + 1000;
  expect(lanes.claimable(later)).toBe(before - 2);
  expect(reserveAll(lanes, hundred('c'))).toHaveLength(8);
});

test('behind requests that do not end nothing is fetched ahead; behind those that do, as much as ends', () => {
  const lanes = new Lanes({ maxConcurrency: 4, endpointConcurrency: 16 });
  for (const one of hundred('a').slice(0, 5)) lanes.push({ ...one, isDirect: false });
  const started = Array.from({ length: 4 }, () => lanes.next(NOW, () => undefined));
  for (const one of lanes.clearAll()) expect(one.webhookId).toBe('a');
  expect(lanes.claimable(NOW)).toBe(0);
  expect(reserveAll(lanes, hundred('b'))).toHaveLength(0);
  for (const one of started.slice(0, 2)) if (one !== null) lanes.finished(one.lane, one.task, NOW);
  expect(lanes.claimable(NOW)).toBe(4);
  expect(reserveAll(lanes, hundred('b'))).toHaveLength(8);
  expect(lanes.claimable(NOW + 1000)).toBe(2);
});
