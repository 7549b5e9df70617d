// Which schemas an event type may have, and what they say about payloads.
import { expect, test } from 'vitest';
import { eventTypes } from '../../src/domain/event-types.ts';
import type { JsonObject } from '../../src/domain/payload.ts';
import { compileCheck, schemaFault } from '../../src/service/payload-schema.ts';

test('the documented schemas are without fault, and their samples are what they say', () => {
  for (const { name, schema, sample } of eventTypes) {
    expect([name, schemaFault(schema, 'schema')]).toEqual([name, null]);
    expect([name, compileCheck(schema)(sample, 'data')]).toEqual([name, null]);
  }
});

const nested = (levels: number): JsonObject => (levels === 0 ? {} : { not: nested(levels - 1) });
const doubling = Object.fromEntries(
  Array.from({ length: 30 }, (_, n) => [`d${n}`, { allOf: [{ $ref: `#/$defs/d${n + 1}` }, { $ref: `#/$defs/d${n + 1}` }] }]),
);

test.each<[string, JsonObject, string]>([
  ['a type that there is not', { type: 'text' }, 'schema.type'],
  ['a keyword of another form', { properties: { 'a b': { minLength: '1' } } }, 'schema.properties["a b"].minLength'],
  ['another draft', { $schema: 'http://json-schema.org/draft-07/schema#' }, 'schema.$schema'],
  ['a reference to elsewhere', { $ref: 'https://example.com/schema' }, 'schema.$ref'],
  ['a reference to a file', { properties: { a: { $ref: 'money.json' } } }, 'schema.properties.a.$ref'],
  ['a reference to nothing', { items: { $ref: '#/$defs/money' } }, 'schema.items.$ref'],
  ['a reference to what is inherited', { $ref: '#/constructor' }, 'schema.$ref'],
  ['a reference to itself', { $ref: '#' }, 'schema'],
  [
    'a reference in a circle',
    { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
    'schema.$ref.$ref.$ref',
  ],
  ['a name of its own', { $id: 'https://example.com/x' }, 'schema.$id'],
  ['a dynamic reference', { $dynamicRef: '#x' }, 'schema.$dynamicRef'],
  ['references that double each other', { $ref: '#/$defs/d0', $defs: { ...doubling, d30: {} } }, 'schema.$ref'],
  ['more bytes than it may have', { description: 'x'.repeat(65_536) }, 'schema'],
  ['more levels than it may have', nested(65), 'schema'],
  ['a pattern that looks around', { pattern: '(?=a)b' }, 'schema.pattern'],
  ['a pattern that refers back', { properties: { a: { pattern: '(a)\\1' } } }, 'schema.properties.a.pattern'],
  ['a pattern of properties that is none', { patternProperties: { '(': {} } }, 'schema.patternProperties["("]'],
  ['a pattern that comes to very much', { pattern: '(a{100}){10}' }, 'schema.pattern'],
  ['many items that differ', { items: { type: 'object' }, uniqueItems: true }, 'schema.uniqueItems'],
])('a schema with %s is refused', (_, schema, field) => {
  expect(schemaFault(schema, 'schema')).toMatchObject({ field: expect.stringContaining(field), message: expect.any(String) });
});

const order: JsonObject = {
  type: 'object',
  properties: {
    total: { type: 'number', minimum: 0 },
    city: { enum: ['Berlin', 'Paris'] },
    items: {
      type: 'array',
      items: { type: 'object', properties: { 'unit price': { type: 'integer' } }, required: ['unit price'] },
    },
    code: { type: 'string', pattern: '^(a+)+$' },
    toString: { type: 'string' },
  },
  required: ['total'],
  additionalProperties: false,
};

test.each<[unknown, string, string]>([
  [{}, 'data.total', 'is required'],
  [{ total: '1' }, 'data.total', 'must be number'],
  [{ total: -1 }, 'data.total', 'must be >= 0'],
  [{ total: 1, city: 'Rome' }, 'data.city', 'must be one of ["Berlin","Paris"]'],
  [{ total: 1, items: [{ 'unit price': 1 }, { 'unit price': 1.5 }] }, 'data.items[1]["unit price"]', 'must be integer'],
  [{ total: 1, items: [{}] }, 'data.items[0]["unit price"]', 'is required'],
  [{ total: 1, tip: 1 }, 'data.tip', 'is not allowed'],
  [{ total: 1, code: 'b' }, 'data.code', 'must match pattern "^(a+)+$"'],
])('%j is refused, with the place', (data, field, message) => {
  expect(compileCheck(order)(data, 'data')).toEqual({ field, message });
});

test('what an object inherits is no property of it', () => {
  const check = compileCheck({ required: ['toString'] });
  expect(check({}, 'data')).toMatchObject({ field: 'data.toString' });
  expect(check({ toString: 1 }, 'data')).toBeNull();
});

test('a pattern that takes others for ever takes no longer than the text is long', () => {
  const check = compileCheck(order);
  const startedAt = performance.now();
  expect(check({ total: 1, code: `${'a'.repeat(9000)}!` }, 'data')).toMatchObject({ field: 'data.code' });
  expect(check({ total: 1, code: `${'a'.repeat(500_000)}!` }, 'data')).toMatchObject({ field: 'data.code' });
  // With a backtracking engine the first alone takes longer than the universe is old.
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});
