// The payload of an event: which JSON is accepted, and the exact text that every receiver gets.
import { invalid, ServiceError } from './errors.ts';
import { jsonShape, parseExactJson } from './json-text.ts';

/**
 * Levels of nesting. JSON.stringify overflows its stack between 3,000 and 5,000 levels and protobuf's Struct stops at 50; 32 is
 * deeper than any event here and far from both.
 */
export const MAX_PAYLOAD_DEPTH = 32;

export type JsonObject = { [key: string]: JsonValue };
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses the UTF-8 text of a JSON object and checks it; errors name `field`. Blanks and escapes do not count towards `maxBytes`, for they
 * are not delivered; the caller bounds the text.
 */
export function parsePayload(bytes: Uint8Array, maxBytes: number, field: string): string {
  const shape = jsonShape(bytes);
  if (shape.depth > MAX_PAYLOAD_DEPTH) throw tooDeep(field);
  let value: unknown;
  try {
    value = parseExactJson(utf8.decode(bytes), shape, field);
  } catch (cause) {
    if (cause instanceof ServiceError) throw cause;
    throw new ServiceError('payload_malformed', `${field}: is not well-formed UTF-8 JSON`, {
      violations: [{ field, message: 'is not well-formed UTF-8 JSON' }],
      cause,
    });
  }
  return canonicalPayload(value, maxBytes, field);
}

/**
 * The canonical text of a payload: what `JSON.stringify(JSON.parse(text))` gives, so that a receiver that parses and serialises
 * again still gets the bytes that were signed. Refuses what does not survive that round trip.
 */
export function canonicalPayload(value: unknown, maxBytes: number, field: string): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid('payload_not_object', field, 'must be a JSON object');
  }
  check(value, 1, field);
  const text = JSON.stringify(value);
  const size = Buffer.byteLength(text);
  if (size > maxBytes) throw tooLarge(size, maxBytes, field);
  return text;
}

function check(value: unknown, depth: number, field: string): void {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) {
      throw invalid('payload_number_not_representable', field, 'holds a number outside the range of a double');
    }
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  if (depth > MAX_PAYLOAD_DEPTH) throw tooDeep(field);
  if (Array.isArray(value)) {
    for (const item of value) check(item, depth + 1, field);
    return;
  }
  for (const key of Object.keys(value)) {
    // Assigning it sets the prototype instead: such a key does not survive most receivers' own code.
    if (key === '__proto__') throw invalid('payload_key_forbidden', field, 'holds the key "__proto__"');
    check((value as Record<string, unknown>)[key], depth + 1, field);
  }
}

function tooDeep(field: string): ServiceError {
  return invalid('payload_too_deep', field, `is nested deeper than ${MAX_PAYLOAD_DEPTH} levels`);
}

function tooLarge(size: number, maxBytes: number, field: string): ServiceError {
  const message = `is ${size} bytes, more than the ${maxBytes} allowed`;
  return new ServiceError('payload_too_large', `${field}: ${message}`, {
    violations: [{ field, message }],
  });
}
