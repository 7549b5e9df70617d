// A periodic task: what its start, its errors and its drain promise.
import { expect, test } from 'vitest';
import { PeriodicTask } from '../../src/lifecycle/periodic-task.ts';

test('a run that throws is reported, and the next one follows', async () => {
  const errors: unknown[] = [];
  const second = Promise.withResolvers<void>();
  let runs = 0;
  const task = new PeriodicTask(
    async () => {
      runs += 1;
      if (runs === 1) throw new Error('the first run fails');
      second.resolve();
    },
    1,
    (error) => errors.push(error),
  );
  await task.start();
  await second.promise;
  await task.drain();
  expect(errors).toEqual([new Error('the first run fails')]);
});

test('a drain waits for the run that is under way, aborts its signal, and no run follows', async () => {
  const release = Promise.withResolvers<void>();
  let runs = 0;
  let hasEnded = false;
  const task: PeriodicTask = new PeriodicTask(
    async () => {
      runs += 1;
      await release.promise;
      hasEnded = true;
    },
    1,
    () => undefined,
  );
  await task.start();
  const drained = task.drain();
  expect(task.signal.aborted).toBe(true);
  expect(hasEnded).toBe(false);
  release.resolve();
  await drained;
  expect({ runs, hasEnded }).toEqual({ runs: 1, hasEnded: true });
});

test('a task that was drained before its start never runs', async () => {
  let runs = 0;
  const task = new PeriodicTask(
    async () => {
      runs += 1;
    },
    1,
    () => undefined,
  );
  await task.drain();
  await task.start();
  await task.drain();
  expect(runs).toBe(0);
});
