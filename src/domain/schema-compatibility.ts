// Whether a new schema of an event type takes something back that the last one gave, to publishers or to receivers.
import { isDeepStrictEqual } from 'node:util';
import { fieldWithin } from './field-path.ts';
import { isObject, type SchemaFault, withoutReferences } from './json-schema.ts';
import type { JsonObject, JsonValue } from './payload.ts';

/** An answer names so many differences; a schema that is another one altogether has hundreds. */
const MAX_NAMED = 10;

/** They say something about values, and refuse none. */
const ANNOTATIONS = new Set(
  '$schema $comment title description default examples deprecated readOnly writeOnly format contentEncoding contentMediaType contentSchema'.split(
    ' ',
  ),
);
/** Larger is narrower. */
const LOWER_BOUNDS = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties', 'minContains'];
/** Smaller is narrower. */
const UPPER_BOUNDS = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties', 'maxContains'];
/** What is said of values that nothing else names. Left out, all of them are accepted. */
const OF_THE_REST = ['items', 'additionalProperties'];
/** Another one, or one where there was none, may refuse what was accepted. */
const CONDITIONS = ['pattern', 'multipleOf'];
const COMPARED = new Set([
  'type',
  'enum',
  'const',
  'properties',
  'required',
  'uniqueItems',
  ...OF_THE_REST,
  ...LOWER_BOUNDS,
  ...UPPER_BOUNDS,
  ...CONDITIONS,
]);

/**
 * The differences by which `after` is not compatible with `before`, ten at most: what receivers were promised is gone, or what publishers may
 * send is refused. A new property that is optional is none. Keywords whose effect cannot be compared, as `anyOf`, must stay as they are.
 */
export function incompatibilities(before: JsonObject, after: JsonObject, field: string): SchemaFault[] {
  const faults: SchemaFault[] = [];
  compare(withoutReferences(before), withoutReferences(after), field, faults);
  return faults.slice(0, MAX_NAMED);
}

function compare(before: JsonValue, after: JsonValue, place: string, faults: SchemaFault[]): void {
  if (before === false) return;
  if (after === false) return void faults.push({ field: place, message: 'no value is accepted any more' });
  const was = isObject(before) ? before : {};
  const is = isObject(after) ? after : {};
  const fault = (keyword: string, message: string): void => void faults.push({ field: fieldWithin(place, keyword), message });
  compareTypes(was['type'], is['type'], fault);
  compareValues(was, is, fault);
  compareProperties(was, is, place, faults);
  for (const keyword of OF_THE_REST) {
    if (was[keyword] === undefined && is[keyword] === undefined) continue;
    compare(was[keyword] ?? true, is[keyword] ?? true, fieldWithin(place, keyword), faults);
  }
  if (is['uniqueItems'] === true && was['uniqueItems'] !== true) fault('uniqueItems', 'is new');
  for (const keyword of LOWER_BOUNDS) {
    if (numberOr(is[keyword], -Infinity) > numberOr(was[keyword], -Infinity)) fault(keyword, 'accepts less than before');
  }
  for (const keyword of UPPER_BOUNDS) {
    if (numberOr(is[keyword], Infinity) < numberOr(was[keyword], Infinity)) fault(keyword, 'accepts less than before');
  }
  for (const keyword of CONDITIONS) {
    if (is[keyword] !== undefined && is[keyword] !== was[keyword]) fault(keyword, 'differs, and may accept less than before');
  }
  for (const keyword of new Set([...Object.keys(was), ...Object.keys(is)])) {
    if (COMPARED.has(keyword) || ANNOTATIONS.has(keyword)) continue;
    if (!isDeepStrictEqual(was[keyword], is[keyword])) fault(keyword, 'differs, and what that does cannot be compared');
  }
}

type Report = (keyword: string, message: string) => void;

function compareTypes(before: JsonValue | undefined, after: JsonValue | undefined, fault: Report): void {
  if (after === undefined) return;
  const accepted = typesOf(after);
  if (before === undefined) return fault('type', 'is new, and accepts less than before');
  const refused = typesOf(before).filter(
    (type) => !accepted.includes(type) && !(type === 'integer' && accepted.includes('number')),
  );
  if (refused.length > 0) fault('type', `accepts ${refused.join(', ')} no longer`);
}

function typesOf(type: JsonValue): string[] {
  return [type].flat().filter((name) => typeof name === 'string');
}

function compareValues(before: JsonObject, after: JsonObject, fault: Report): void {
  const accepted = valuesOf(after);
  if (accepted === null) return;
  const keyword = after['const'] === undefined ? 'enum' : 'const';
  const were = valuesOf(before);
  if (were === null) return fault(keyword, 'is new, and accepts less than before');
  const refused = were.filter((value) => !accepted.some((other) => isDeepStrictEqual(value, other)));
  if (refused.length > 0) fault(keyword, `accepts ${JSON.stringify(refused).slice(0, 100)} no longer`);
}

function valuesOf(schema: JsonObject): JsonValue[] | null {
  if (schema['const'] !== undefined) return [schema['const']];
  return Array.isArray(schema['enum']) ? schema['enum'] : null;
}

function compareProperties(before: JsonObject, after: JsonObject, place: string, faults: SchemaFault[]): void {
  const were = namedIn(before);
  const are = namedIn(after);
  const within = fieldWithin(place, 'properties');
  for (const [name, schema] of Object.entries(were)) {
    const field = fieldWithin(within, name);
    const now = Object.hasOwn(are, name) ? are[name] : undefined;
    if (now === undefined) faults.push({ field, message: 'was removed; receivers may rely on it' });
    else compare(schema, now, field, faults);
  }
  const [wasRequired, isRequired] = [requiredIn(before), requiredIn(after)];
  for (const name of isRequired) {
    if (!wasRequired.has(name)) faults.push({ field: fieldWithin(within, name), message: 'is required, and was not before' });
  }
  for (const name of wasRequired) {
    if (!isRequired.has(name) && Object.hasOwn(are, name))
      faults.push({ field: fieldWithin(within, name), message: 'is not required any more; receivers may rely on it' });
  }
}

function namedIn(schema: JsonObject): JsonObject {
  const { properties } = schema;
  return isObject(properties) ? properties : {};
}

function requiredIn(schema: JsonObject): ReadonlySet<string> {
  const { required } = schema;
  return new Set(Array.isArray(required) ? required.filter((name) => typeof name === 'string') : []);
}

function numberOr(value: JsonValue | undefined, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}
