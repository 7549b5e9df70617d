// Group commit: every item gets its own answer, whatever happens to its neighbours.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GroupCommit, type GroupCommitLimits } from '../../src/persistence/group-commit.ts';

class ItemFault extends Error {}

const limits: GroupCommitLimits = { maxBatchItems: 10, maxBatchBytes: 1000, maxPendingBytes: 100_000 };

/** A writer over a table in memory that refuses batches with a bad item in them as a whole, as one transaction does. */
function setUp(overrides: Partial<GroupCommitLimits> = {}) {
  const written: number[] = [];
  const batches: number[][] = [];
  let inFlight = 0;
  let mostInFlight = 0;
  const commits = new GroupCommit<{ value: number; isBad: boolean }, number>({
    limits: { ...limits, ...overrides },
    isItemFault: (error) => error instanceof ItemFault,
    async write(items) {
      inFlight += 1;
      mostInFlight = Math.max(mostInFlight, inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight -= 1;
      if (items.some((item) => item.isBad)) throw new ItemFault();
      batches.push(items.map((item) => item.value));
      written.push(...items.map((item) => item.value));
      return items.map((item) => item.value * 2);
    },
  });
  const add = (value: number, isBad = false, bytes = 1) =>
    new Promise<number>((resolve, reject) => {
      const isTaken = commits.add({ value, isBad }, bytes, (error, result) =>
        error === undefined ? resolve(result ?? -1) : reject(error),
      );
      if (!isTaken) reject(new Error('refused'));
    });
  return { commits, add, written, batches, mostInFlight: () => mostInFlight };
}

describe('group commit', () => {
  test('answers each good item with its own result and each bad one with an error, in any mix', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { minLength: 1, maxLength: 60 }), async (bad) => {
        const { add, written } = setUp();
        const answers = await Promise.allSettled(bad.map((isBad, value) => add(value, isBad)));
        for (const [value, answer] of answers.entries()) {
          if (bad[value]) expect(answer.status).toBe('rejected');
          else expect(answer).toEqual({ status: 'fulfilled', value: value * 2 });
        }
        expect(written.toSorted((a, b) => a - b)).toEqual([...bad.keys()].filter((value) => !bad[value]));
      }),
    );
  });

  test('writes what arrives together as one batch', async () => {
    const { add, batches } = setUp();
    await Promise.all([1, 2, 3, 4, 5].map((value) => add(value)));
    expect(batches).toEqual([[1, 2, 3, 4, 5]]);
  });

  test('has at most two batches in flight, none larger than its limits', async () => {
    const { add, batches, mostInFlight } = setUp({ maxBatchBytes: 40 });
    await Promise.all(Array.from({ length: 200 }, (_, value) => add(value, false, 10)));
    expect(mostInFlight()).toBe(2);
    expect(Math.max(...batches.map((batch) => batch.length))).toBe(4);
  });

  test('with a pace, what comes soon after a statement waits for enough others, or for one that is awaited', async () => {
    const batches: number[][] = [];
    const commits = new GroupCommit<number, number>({
      limits: { ...limits, pace: { intervalMs: 600_000, enoughItems: 5 } },
      isItemFault: () => false,
      isAwaited: (item) => item < 0,
      write: (items) => {
        batches.push([...items]);
        return Promise.resolve(items);
      },
    });
    const add = (item: number) => new Promise((resolve) => commits.add(item, 1, resolve));
    await add(1);
    const held = [2, 3, 4, 5].map(add);
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(batches).toEqual([[1]]);
    await Promise.all([...held, add(6)]);
    await Promise.all([add(7), add(-8)]);
    expect(batches).toEqual([[1], [2, 3, 4, 5, 6], [7, -8]]);
  });

  test('with a pace, what is awaited and did not fit into a batch goes with the next, at once', async () => {
    const batches: number[][] = [];
    const commits = new GroupCommit<number, number>({
      limits: { ...limits, maxBatchItems: 3, pace: { intervalMs: 600_000, enoughItems: 5 } },
      isItemFault: () => false,
      isAwaited: (item) => item < 0,
      write: (items) => {
        batches.push([...items]);
        return Promise.resolve(items);
      },
    });
    await Promise.all([1, 2, 3, -4].map((item) => new Promise((resolve) => commits.add(item, 1, resolve))));
    expect(batches).toEqual([[1, 2, 3], [-4]]);
  });

  test('with a pace, what waits alone is written once the time between two statements is over', async () => {
    const { add, batches } = setUp({ pace: { intervalMs: 5, enoughItems: 100 } });
    await add(1);
    await add(2);
    await add(3);
    expect(batches).toEqual([[1], [2], [3]]);
  });

  test('refuses what would exceed the bytes it may hold, and takes it again later', async () => {
    const { add } = setUp({ maxPendingBytes: 30 });
    const first = [add(1, false, 15), add(2, false, 15)];
    await expect(add(3, false, 1)).rejects.toThrow('refused');
    await Promise.all(first);
    await expect(add(4, false, 15)).resolves.toBe(8);
  });

  test('rejects the whole batch when the store fails, without trying its items one by one', async () => {
    let writes = 0;
    const commits = new GroupCommit<number, number>({
      limits,
      isItemFault: () => false,
      write: () => {
        writes += 1;
        return Promise.reject(new Error('away'));
      },
    });
    const failures = await Promise.all([1, 2, 3].map((value) => new Promise((resolve) => commits.add(value, 1, resolve))));
    expect(failures).toEqual([1, 2, 3].map(() => new Error('away')));
    expect(writes).toBe(1);
    await commits.idle();
  });
});
