// What a JSON Schema of an event type may be: bounded in size, depth and work, and complete in itself.
import { fieldWithin, stepsOf } from './field-path.ts';
import type { JsonObject, JsonValue } from './payload.ts';

/** A schema is shown in full with its type, and every process keeps and compiles it. */
export const MAX_SCHEMA_BYTES = 65_536;
/** Levels of nesting. A payload has 32 at most, and each takes two of a schema that uses no references. */
export const MAX_SCHEMA_DEPTH = 64;
/** Subschemas, each counted as often as it is referred to: without this bound thirty references that double each other are a billion. */
export const MAX_SUBSCHEMAS = 2000;
/** `uniqueItems` compares each item with each other one. */
export const MAX_UNIQUE_ITEMS = 1000;

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
/** They give a schema a name or lead out of it. */
const FORBIDDEN = ['$id', '$anchor', '$dynamicRef', '$dynamicAnchor', '$recursiveRef', '$recursiveAnchor', '$vocabulary'];

const OF_ONE = [
  'additionalProperties',
  'items',
  'contains',
  'propertyNames',
  'not',
  'if',
  'then',
  'else',
  'unevaluatedItems',
  'unevaluatedProperties',
] as const;
const OF_MANY = ['allOf', 'anyOf', 'oneOf', 'prefixItems'] as const;
const OF_NAMED = ['properties', 'patternProperties', 'dependentSchemas'] as const;
const DEFINITIONS = ['$defs', 'definitions'] as const;

export interface SchemaFault {
  readonly field: string;
  readonly message: string;
}

/** The first thing that keeps `schema` from being one of an event type; null: nothing. The keywords' own values are the validator's to check. */
export function faultOfSchema(schema: JsonObject, field: string): SchemaFault | null {
  const text = JSON.stringify(schema);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_SCHEMA_BYTES) return { field, message: `has ${bytes} bytes; it may have ${MAX_SCHEMA_BYTES}` };
  if (depthOf(schema) > MAX_SCHEMA_DEPTH) return { field, message: `is nested deeper than ${MAX_SCHEMA_DEPTH} levels` };
  // Who writes it into an object sets its prototype instead.
  if (text.includes('"__proto__":')) return { field, message: 'holds the key "__proto__"' };
  const dialect = schema['$schema'];
  if (dialect !== undefined && dialect !== DIALECT && dialect !== `${DIALECT}#`) {
    return { field: fieldWithin(field, '$schema'), message: `must be ${DIALECT}, or left out` };
  }
  try {
    for (const { place, value } of subschemasIn(schema, field)) checkOne(schema, value, place);
    weigh(schema, schema, field, new Map());
    return null;
  } catch (error) {
    if (error instanceof Refused) return error.fault;
    throw error;
  }
}

/** Every subschema that is an object, the schema itself first. */
export function* subschemasIn(schema: JsonValue, place: string): Generator<{ place: string; value: JsonObject }> {
  if (!isObject(schema)) return;
  yield { place, value: schema };
  for (const child of childrenOf(schema, place, true)) yield* subschemasIn(child.value, child.place);
}

/** The schema with each reference replaced by what it refers to. To be called with one that has no fault. */
export function withoutReferences(schema: JsonObject): JsonObject {
  return inlined(schema, schema) as JsonObject;
}

class Refused extends Error {
  readonly fault: SchemaFault;
  constructor(field: string, message: string) {
    super(message);
    this.fault = { field, message };
  }
}

function checkOne(root: JsonObject, schema: JsonObject, place: string): void {
  for (const keyword of FORBIDDEN) {
    if (Object.hasOwn(schema, keyword)) throw new Refused(fieldWithin(place, keyword), 'is not supported here');
  }
  if (schema['$schema'] !== undefined && schema !== root)
    throw new Refused(fieldWithin(place, '$schema'), 'stands at the top only');
  if (schema['$ref'] !== undefined) referredTo(root, schema['$ref'], place);
  const maxItems = schema['maxItems'];
  if (schema['uniqueItems'] === true && !(typeof maxItems === 'number' && maxItems <= MAX_UNIQUE_ITEMS)) {
    throw new Refused(fieldWithin(place, 'uniqueItems'), `needs maxItems of ${MAX_UNIQUE_ITEMS} at most beside it`);
  }
}

/** How many subschemas one value may be held against, with each reference counted as what it refers to. */
function weigh(root: JsonObject, schema: JsonValue, place: string, known: Map<JsonValue, number | 'begun'>): number {
  if (!isObject(schema)) return 1;
  const before = known.get(schema);
  if (before === 'begun') throw new Refused(place, 'refers back to itself: a schema without end is not supported here');
  if (before !== undefined) return before;
  known.set(schema, 'begun');
  let weight = 1;
  const reference = schema['$ref'];
  if (reference !== undefined) weight += weigh(root, referredTo(root, reference, place), fieldWithin(place, '$ref'), known);
  for (const child of childrenOf(schema, place, false)) weight += weigh(root, child.value, child.place, known);
  if (weight > MAX_SUBSCHEMAS)
    throw new Refused(place, `has more than ${MAX_SUBSCHEMAS} subschemas, each reference counted in full`);
  known.set(schema, weight);
  return weight;
}

function referredTo(root: JsonObject, reference: JsonValue, place: string): JsonValue {
  const field = fieldWithin(place, '$ref');
  if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference))
    throw new Refused(field, 'must lead within the schema, as in #/$defs/money');
  let at: JsonValue | undefined = root;
  for (const step of stepsOf(decoded(reference))) {
    const inside: Record<string, JsonValue> = typeof at === 'object' && at !== null ? (at as Record<string, JsonValue>) : {};
    at = Object.hasOwn(inside, step) ? inside[step] : undefined;
  }
  if (!isObject(at) && typeof at !== 'boolean') throw new Refused(field, `leads nowhere: there is no schema at ${reference}`);
  return at;
}

// A reference is a URI, in which some characters are escaped.
function decoded(reference: string): string {
  try {
    return decodeURIComponent(reference);
  } catch {
    return reference;
  }
}

function* childrenOf(
  schema: JsonObject,
  place: string,
  withDefinitions: boolean,
): Generator<{ place: string; value: JsonValue }> {
  for (const keyword of OF_ONE) {
    const value = schema[keyword];
    if (value !== undefined) yield { place: fieldWithin(place, keyword), value };
  }
  for (const keyword of OF_MANY) {
    const list = schema[keyword];
    if (!Array.isArray(list)) continue;
    for (const [index, value] of list.entries()) yield { place: fieldWithin(fieldWithin(place, keyword), index), value };
  }
  for (const keyword of withDefinitions ? [...OF_NAMED, ...DEFINITIONS] : OF_NAMED) {
    const named = schema[keyword];
    if (!isObject(named)) continue;
    for (const [name, value] of Object.entries(named)) yield { place: fieldWithin(fieldWithin(place, keyword), name), value };
  }
}

function inlined(root: JsonObject, schema: JsonValue): JsonValue {
  if (!isObject(schema)) return schema;
  const { $ref: reference, $defs: _, definitions: __, ...own } = schema;
  const result: JsonObject = {};
  for (const [keyword, value] of Object.entries(own)) result[keyword] = inlinedKeyword(root, keyword, value);
  if (reference === undefined) return result;
  const target = inlined(root, referredTo(root, reference, ''));
  if (!isObject(target)) return target;
  // What stands beside a reference holds as well.
  const isAlone = Object.keys(result).every((keyword) => keyword === 'description' || keyword === 'title');
  return isAlone ? { ...target, ...result } : { allOf: [target, result] };
}

function inlinedKeyword(root: JsonObject, keyword: string, value: JsonValue): JsonValue {
  const is = (keywords: readonly string[]): boolean => keywords.includes(keyword);
  if (is(OF_ONE)) return inlined(root, value);
  if (is(OF_MANY) && Array.isArray(value)) return value.map((item) => inlined(root, item));
  if (!is(OF_NAMED) || !isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inlined(root, item)]));
}

function depthOf(value: JsonValue): number {
  if (typeof value !== 'object' || value === null) return 0;
  let deepest = 0;
  for (const inner of Object.values(value)) deepest = Math.max(deepest, depthOf(inner));
  return deepest + 1;
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
