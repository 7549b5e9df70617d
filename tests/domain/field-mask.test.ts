// What a field mask keeps of a payload, and which paths are none.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { faultOfFields, fieldMask, maskedPayload } from '../../src/domain/field-mask.ts';

function masked(fields: readonly string[], data: unknown): unknown {
  const mask = fieldMask(fields);
  return mask === null ? data : JSON.parse(maskedPayload(mask, JSON.stringify(data)));
}

const order = {
  order_id: 'o1',
  customer: { name: 'Ada', phone: '1', home: { city: 'Berlin', street: 'S' } },
  items: [{ name: 'Tea', price: 1 }, 'loose', { price: 2, tags: [] }, [{ name: 'inner' }]],
  'odd key': 1,
  'with "quotes", {a} and ü': 2,
  note: null,
};

test.each<[string[], unknown]>([
  [['$.order_id'], { order_id: 'o1' }],
  [['$.customer.name', '$.order_id'], { order_id: 'o1', customer: { name: 'Ada' } }],
  [['$.customer.home.city', '$.customer.phone'], { customer: { phone: '1', home: { city: 'Berlin' } } }],
  [['$.customer', '$.customer.name'], { customer: order.customer }],
  [['$.items[*].name'], { items: [{ name: 'Tea' }, {}] }],
  [['$.items[*]'], { items: order.items }],
  [['$.items[*][*].name'], { items: [[{ name: 'inner' }]] }],
  [['$.items'], { items: order.items }],
  [[String.raw`$."with \"quotes\", {a} and ü"`, '$."odd key"'], { 'odd key': 1, 'with "quotes", {a} and ü': 2 }],
  [['$.note'], { note: null }],
  // Neither is there, or is what the path says.
  [['$.missing', '$.order_id.part', '$.customer[*]', '$.items.name', '$.note.x'], { customer: {}, items: [] }],
])('%j keeps what it names and nothing else', (fields, kept) => {
  expect(faultOfFields(fields)).toBeNull();
  const got = masked(fields, order) as Record<string, unknown>;
  // An object or array on the way to a field that is not there may stay, empty.
  for (const [key, value] of Object.entries(got)) expect((kept as Record<string, unknown>)[key]).toEqual(value);
});

test('an object on the way stays, and what is neither an object nor a field does not', () => {
  expect(masked(['$.customer.missing', '$.order_id.part'], order)).toEqual({ customer: {} });
  expect(masked(['$.customer[*]', '$.items.name'], order)).toEqual({});
  expect(masked(['$.missing'], order)).toEqual({});
});

test('what is kept is canonical, in the order of the payload, and its values are as they were', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[a-z0-9]{1,3}$/), fc.jsonValue({ maxDepth: 3 })), (payload) => {
      const data = JSON.stringify(JSON.parse(JSON.stringify(payload)));
      const whole = JSON.parse(data) as Record<string, unknown>;
      const names = Object.keys(whole).filter((_, index) => index % 2 === 0);
      const mask = fieldMask(names.map((name) => `$.${JSON.stringify(name)}`));
      if (mask === null) return;
      const text = maskedPayload(mask, data);
      expect(text).toBe(JSON.stringify(JSON.parse(text)));
      expect(JSON.parse(text)).toEqual(Object.fromEntries(names.map((name) => [name, whole[name]])));
      expect(Object.keys(JSON.parse(text) as object)).toEqual(Object.keys(whole).filter((name) => names.includes(name)));
    }),
  );
});

test.each([
  ['', 1],
  ['order_id', 1],
  ['$', 2],
  ['$.', 3],
  ['$[*]', 2],
  ['$.a[0]', 5],
  ['$.a[*', 6],
  ['$.a.*', 5],
  ['$..a', 3],
  ['$.a b', 5],
  ['$.a > 1', 5],
  ['$."a', 3],
  [String.raw`$."a\u0000"`, 3],
])('%j is no path, and the place is named', (path, position) => {
  expect(faultOfFields(['$.fine', path])).toMatchObject({ index: 1, position });
  expect(() => fieldMask([path])).toThrow(faultOfFields([path])?.message);
});
