// A few tasks at once, shared fairly by user.
import { expect, test } from 'vitest';
import { FairQueue } from '../../src/persistence/fair-queue.ts';

const limits = {
  maxRunning: 3,
  maxRunningPerUser: 2,
  maxWaiting: 10,
  maxWaitingPerUser: 5,
  maxWaitMs: 60_000,
  refusal: 'Too many',
};

/** Starts tasks that end on request, and keeps note of the order they began in. */
function tasks(queue: FairQueue) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const begin = (user: string, name: string, options?: { isPatient: boolean }): Promise<void> =>
    queue.run(
      user,
      () => {
        begun.push(name);
        return new Promise<void>((resolve) => ends.set(name, resolve));
      },
      options,
    );
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    // The end of one and the beginning of the next are a few promises apart.
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { begun, begin, end };
}

test('a user runs as many as one user may, and all together as many as the pool takes', async () => {
  const { begun, begin } = tasks(new FairQueue(limits));
  for (const name of ['a1', 'a2', 'a3']) void begin('a', name);
  for (const name of ['b1', 'b2']) void begin('b', name);
  expect(begun).toEqual(['a1', 'a2', 'b1']);
});

test('who asked for much waits behind himself, the others for one turn', async () => {
  const { begun, begin, end } = tasks(new FairQueue({ ...limits, maxRunning: 1 }));
  for (const name of ['a1', 'a2', 'a3', 'a4']) void begin('a', name);
  void begin('b', 'b1');
  void begin('c', 'c1');
  for (const name of ['a1', 'a2', 'b1', 'c1', 'a3']) await end(name);
  // a's second was there before any other user’s came; from then on they take turns.
  expect(begun).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'a4']);
});

test('more than may wait is refused with advice, for one user and for all', async () => {
  const queue = new FairQueue(limits);
  const { begin } = tasks(queue);
  const refused = { reason: 'overloaded', code: 'resource_exhausted', retryAfterMs: 1000 };
  for (let i = 0; i < 7; i += 1) void begin('a', `a${i}`);
  await expect(begin('a', 'too many of a')).rejects.toMatchObject(refused);
  for (let i = 0; i < 6; i += 1) void begin('b', `b${i}`);
  await expect(begin('c', 'too many of all')).rejects.toMatchObject(refused);
});

test('a patient task is never refused', async () => {
  const { begun, begin, end } = tasks(new FairQueue({ ...limits, maxWaiting: 0, maxRunning: 1, maxWaitMs: 1 }));
  void begin('a', 'a1');
  await expect(begin('b', 'b1')).rejects.toMatchObject({ reason: 'overloaded' });
  void begin('b', 'b2', { isPatient: true });
  await new Promise((resolve) => setTimeout(resolve, 20));
  await end('a1');
  expect(begun).toEqual(['a1', 'b2']);
});

test('a task whose turn does not come in time is refused, and takes no turn later', async () => {
  const { begun, begin, end } = tasks(new FairQueue({ ...limits, maxRunning: 1, maxWaitMs: 10 }));
  void begin('a', 'a1');
  await expect(begin('b', 'b1')).rejects.toMatchObject({ reason: 'overloaded' });
  await end('a1');
  void begin('b', 'b2');
  expect(begun).toEqual(['a1', 'b2']);
});

test('a task that fails gives its place to the next', async () => {
  const queue = new FairQueue({ ...limits, maxRunning: 1 });
  const failing = queue.run('a', () => Promise.reject(new Error('broken')));
  const next = queue.run('b', () => Promise.resolve('done'));
  await expect(failing).rejects.toThrow('broken');
  await expect(next).resolves.toBe('done');
  expect(queue.running).toBe(0);
});
