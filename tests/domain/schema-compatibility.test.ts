// What a new schema of an event type may change, and what it takes back.
import { expect, test } from 'vitest';
import { eventTypes } from '../../src/domain/event-types.ts';
import type { JsonObject } from '../../src/domain/payload.ts';
import { incompatibilities } from '../../src/domain/schema-compatibility.ts';

const before: JsonObject = {
  type: 'object',
  properties: {
    id: { type: 'string', maxLength: 40, pattern: '^o_' },
    total: { $ref: '#/$defs/money' },
    status: { enum: ['new', 'paid'] },
    items: {
      type: 'array',
      minItems: 1,
      items: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
    },
    note: { type: 'string' },
    extra: { anyOf: [{ type: 'string' }, { type: 'number' }] },
  },
  required: ['id', 'total'],
  $defs: { money: { type: 'number', minimum: 0, description: 'Euros.' } },
};

/** The schema with the value at a path replaced, or taken away. */
function changed(path: string, value: unknown): JsonObject {
  const copy = structuredClone(before);
  const steps = path.split('/');
  const last = steps.pop() ?? '';
  const within = steps.reduce<JsonObject>((at, step) => at[step] as JsonObject, copy);
  if (value === undefined) delete within[last];
  else within[last] = value as JsonObject;
  return copy;
}

test.each<[string, string, unknown]>([
  ['a new optional property', 'properties/tip', { type: 'number' }],
  ['another description', 'properties/note', { type: 'string', description: 'In words.', examples: ['x'] }],
  ['a value more', 'properties/status', { enum: ['paid', 'new', 'gone'] }],
  ['no list of values', 'properties/status', {}],
  ['a longer text', 'properties/id/maxLength', 50],
  ['no pattern', 'properties/id/pattern', undefined],
  ['a type more', 'properties/note', { type: ['string', 'null'] }],
  ['no lower bound', '$defs/money', { type: 'number' }],
  ['the same in place of a reference', 'properties/total', { type: 'number', minimum: 0 }],
  ['a definition that nothing refers to', '$defs/unused', { type: 'string' }],
])('%s is compatible', (_, path, value) => {
  expect(incompatibilities(before, changed(path, value), 'schema')).toEqual([]);
});

test.each<[string, string, unknown, string]>([
  ['a property that is gone', 'properties/note', undefined, 'schema.properties.note'],
  ['a property that must be there now', 'required', ['id', 'total', 'note'], 'schema.properties.note'],
  ['a property that need not be there now', 'required', ['id'], 'schema.properties.total'],
  ['a value less', 'properties/status', { enum: ['new'] }, 'schema.properties.status.enum'],
  ['one value', 'properties/status', { const: 'new' }, 'schema.properties.status.const'],
  ['a shorter text', 'properties/id/maxLength', 39, 'schema.properties.id.maxLength'],
  ['another pattern', 'properties/id/pattern', '^p_', 'schema.properties.id.pattern'],
  ['a new bound', 'properties/note/minLength', 1, 'schema.properties.note.minLength'],
  ['another type', 'properties/note', { type: 'number' }, 'schema.properties.note.type'],
  ['numbers that are whole', '$defs/money', { type: 'integer', minimum: 0 }, 'schema.properties.total.type'],
  ['a higher bound of a definition', '$defs/money/minimum', 1, 'schema.properties.total.minimum'],
  ['no other properties', 'additionalProperties', false, 'schema.additionalProperties'],
  [
    'a property within that is gone',
    'properties/items/items',
    { type: 'object' },
    'schema.properties.items.items.properties.name',
  ],
  ['more items', 'properties/items/minItems', 2, 'schema.properties.items.minItems'],
  ['items that differ from each other', 'properties/items/uniqueItems', true, 'schema.properties.items.uniqueItems'],
  ['another choice', 'properties/extra', { anyOf: [{ type: 'string' }] }, 'schema.properties.extra.anyOf'],
  ['nothing', 'properties/note', false, 'schema.properties.note'],
])('%s is not', (_, path, value, field) => {
  expect(incompatibilities(before, changed(path, value), 'schema').map((fault) => fault.field)).toContain(field);
});

test('a documented schema is compatible with itself', () => {
  for (const { schema } of eventTypes) expect(incompatibilities(schema, structuredClone(schema), 'schema')).toEqual([]);
});

test('ten differences are named, not hundreds', () => {
  const properties = Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`p${n}`, { type: 'string' }]));
  expect(incompatibilities({ properties }, {}, 'schema')).toHaveLength(10);
});
