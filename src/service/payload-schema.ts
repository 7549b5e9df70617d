// JSON Schema by Ajv: whether a schema is one, and whether payloads are what it says. Loaded by processes whose catalogue checks payloads.
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import { RE2JS } from 're2js';
import { fieldAt, fieldWithin } from '../domain/field-path.ts';
import { faultOfSchema, type SchemaFault, subschemasIn } from '../domain/json-schema.ts';
import type { JsonObject } from '../domain/payload.ts';

/** Of one pattern, compiled. Its time to look at a text is the product of both lengths. */
const MAX_PATTERN_INSTRUCTIONS = 200;
/** Characters. RE2 takes a microsecond or so for each in JavaScript; a longer text matches no pattern. */
const MAX_MATCHED_LENGTH = 10_000;
/** Characters of a value that an error shows. */
const MAX_SHOWN_LENGTH = 200;

/** Returns what is wrong with a payload, which errors call `field`; null: nothing. */
export type PayloadCheck = (data: unknown, field: string) => SchemaFault | null;

/** What keeps `schema` from being one of an event type; null: nothing. */
export function schemaFault(schema: JsonObject, field: string): SchemaFault | null {
  const fault = faultOfSchema(schema, field) ?? invalidity(schema, field) ?? patternFault(schema, field);
  if (fault !== null) return fault;
  try {
    compileCheck(schema);
    return null;
  } catch (error) {
    return { field, message: `cannot be used: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Compiled once, run for each payload. `schema` has no fault. */
export function compileCheck(schema: JsonObject): PayloadCheck {
  // One for each schema: an instance keeps all that it ever compiled. `format` is an annotation, as the draft has it by default.
  const ajv = new Ajv2020({
    meta: false,
    validateSchema: false,
    strict: false,
    validateFormats: false,
    ownProperties: true,
    logger: false,
    code: { regExp: Object.assign(linearPattern, { code: 'linearPattern' }) },
  });
  const validate = ajv.compile(schema);
  return (data, field) => {
    if (validate(data)) return null;
    const [error] = validate.errors ?? [];
    return error === undefined ? { field, message: 'is not what the schema says' } : faultOf(error, data, field);
  };
}

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
const metaSchema = new Ajv2020({ strict: false, validateFormats: false, logger: false });

function invalidity(schema: JsonObject, field: string): SchemaFault | null {
  if (metaSchema.validateSchema({ ...schema, $schema: DIALECT }) === true) return null;
  const [error] = metaSchema.errors ?? [];
  const place = fieldAt(field, error?.instancePath ?? '', schema);
  return { field: place, message: `is no JSON Schema: ${error?.message ?? 'it breaks a rule of the draft'}` };
}

function patternFault(schema: JsonObject, field: string): SchemaFault | null {
  for (const { place, value } of subschemasIn(schema, field)) {
    const { pattern, patternProperties } = value;
    const patterns: [string, unknown][] = [[fieldWithin(place, 'pattern'), pattern]];
    const within = fieldWithin(place, 'patternProperties');
    for (const name of Object.keys((patternProperties ?? {}) as object)) patterns.push([fieldWithin(within, name), name]);
    for (const [at, text] of patterns) {
      const message = typeof text === 'string' ? faultOfPattern(text) : null;
      if (message !== null) return { field: at, message };
    }
  }
  return null;
}

function faultOfPattern(pattern: string): string | null {
  try {
    const instructions = compilePattern(pattern).programSize();
    if (instructions <= MAX_PATTERN_INSTRUCTIONS) return null;
    return `is too large: it comes to ${instructions} instructions, and ${MAX_PATTERN_INSTRUCTIONS} are allowed`;
  } catch (error) {
    return `is no regular expression of RE2, which knows no lookaround and no back-reference: ${(error as Error).message}`;
  }
}

function compilePattern(pattern: string): RE2JS {
  return RE2JS.compile(RE2JS.translateRegExp(pattern));
}

/** What Ajv uses in place of RegExp, whose time may grow with a power of the text. */
function linearPattern(pattern: string): { test(text: string): boolean } {
  const compiled = compilePattern(pattern);
  return { test: (text) => text.length <= MAX_MATCHED_LENGTH && compiled.test(text) };
}

function faultOf(error: ErrorObject, data: unknown, field: string): SchemaFault {
  const place = fieldAt(field, error.instancePath, data);
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'required':
    case 'dependentRequired':
      return { field: fieldWithin(place, String(params['missingProperty'])), message: 'is required' };
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return {
        field: fieldWithin(place, String(params['additionalProperty'] ?? params['unevaluatedProperty'])),
        message: 'is not allowed',
      };
    case 'enum':
      return { field: place, message: `must be one of ${shown(params['allowedValues'])}` };
    case 'const':
      return { field: place, message: `must be ${shown(params['allowedValue'])}` };
    default:
      return { field: place, message: error.message ?? 'is not what the schema says' };
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= MAX_SHOWN_LENGTH ? text : `${text.slice(0, MAX_SHOWN_LENGTH)}…`;
}
