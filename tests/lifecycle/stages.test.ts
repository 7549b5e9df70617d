// Parts start in order and stop in the opposite one, whatever one of them does.
import { expect, test } from 'vitest';
import { Stages, type Stage } from '../../src/lifecycle/stages.ts';

function record(stages: readonly [string, Stage?][]): { stages: Stages; done: string[] } {
  const done: string[] = [];
  const made = new Stages((name, error) => done.push(`${name} failed: ${error instanceof Error ? error.message : ''}`));
  for (const [name, stage] of stages) {
    made.add(name, {
      async start() {
        await stage?.start?.();
        done.push(`+${name}`);
      },
      async drain() {
        await stage?.drain?.();
        done.push(`-${name}`);
      },
    });
  }
  return { stages: made, done };
}

const broken = async (): Promise<void> => {
  throw new Error('broken');
};

test('parts stop in the opposite order of their start, once however often that is asked for', async () => {
  const { stages, done } = record([['a'], ['b'], ['c']]);
  await stages.start();
  await Promise.all([stages.drain(), stages.drain()]);
  expect(done).toEqual(['+a', '+b', '+c', '-c', '-b', '-a']);
});

test('a part that does not start is reported, after those before it have stopped, and those behind it are left alone', async () => {
  const { stages, done } = record([['a'], ['b', { start: broken }], ['c']]);
  await expect(stages.start()).rejects.toThrow('broken');
  expect(done).toEqual(['+a', '-a']);
});

test('a part that fails to stop keeps no other from it', async () => {
  const { stages, done } = record([['a'], ['b', { drain: broken }], ['c']]);
  await stages.start();
  await stages.drain();
  expect(done).toEqual(['+a', '+b', '+c', '-c', 'b failed: broken', '-a']);
});

test('a stop during the start waits for the part that is starting, stops it, and starts no more', async () => {
  const begun = Promise.withResolvers<void>();
  const going = Promise.withResolvers<void>();
  const start = (): Promise<void> => {
    begun.resolve();
    return going.promise;
  };
  const { stages, done } = record([['a'], ['b', { start }], ['c']]);
  const starting = stages.start();
  await begun.promise;
  const draining = stages.drain();
  going.resolve();
  await Promise.all([starting, draining]);
  expect(done).toEqual(['+a', '+b', '-b', '-a']);
});
