// The queue of what waits: first in, first out, however pushing and taking alternate, and nothing kept of what was taken.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Queue } from '../../src/delivery/queue.ts';

interface Item {
  readonly n: number;
}

test('gives out what an array would, through thousands of pushes, takings and clearings', () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 300 }) }) },
    { weight: 5, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 300 }) }) },
    { weight: 1, arbitrary: fc.constant({ clear: true as const }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const queue = new Queue<Item>();
      let model: Item[] = [];
      let n = 0;
      for (const item of steps) {
        if ('push' in item) {
          for (let i = 0; i < item.push; i += 1) {
            const next = { n: (n += 1) };
            queue.push(next);
            model.push(next);
          }
        } else if ('shift' in item) {
          for (let i = 0; i < item.shift; i += 1) expect(queue.shift()).toBe(model.shift());
        } else {
          expect(queue.clear()).toEqual(model);
          model = [];
        }
        expect(queue.length).toBe(model.length);
      }
    }),
  );
});
