// Ids sort by time and contain it.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { idFloor, isId, newId, timeOfId } from '../../src/domain/ids.ts';

const moments = fc.integer({ min: 0, max: 2 ** 48 - 1 });

test('an id has the time at which it was made', () => {
  fc.assert(
    fc.property(moments, (ms) => {
      expect(timeOfId(newId('event', ms))).toBe(ms);
    }),
  );
});

test('ids sort by time, and the floor of a moment is below all ids of that moment', () => {
  fc.assert(
    fc.property(moments, moments, (a, b) => {
      fc.pre(a < b);
      expect(newId('delivery', a) < newId('delivery', b)).toBe(true);
      expect(idFloor('delivery', b) <= newId('delivery', b)).toBe(true);
      expect(newId('delivery', a) < idFloor('delivery', b)).toBe(true);
    }),
  );
});

test('a hundred thousand ids of one millisecond differ', () => {
  expect(new Set(Array.from({ length: 100_000 }, () => newId('event', 1))).size).toBe(100_000);
});

test.each([
  'event_1',
  'webhook_01hxaaaaaaaaaaaaaaaaaaaaaa',
  'event_01hxaaaaaaaaaaaaaaaaaaaaai',
  'EVENT_01hxaaaaaaaaaaaaaaaaaaaaaa',
  '',
])('%j is no event id', (text) => expect(isId('event', text)).toBe(false));
