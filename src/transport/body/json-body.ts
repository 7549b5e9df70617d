// Reads a JSON body: strict UTF-8, bounded depth, nothing changed on the way, and nothing guessed about what it does not say.
import { ServiceError } from '../../domain/errors.ts';
import { cutDeeper, inspectJson, jsonShape } from '../../domain/json-text.ts';
import type { JsonFault } from '../../domain/json-text.ts';

/**
 * Levels of nesting in a whole body: the payload's 32 and what stands around it, with room for messages that are deeper than any
 * here. What walks the parsed body recurses, and JSON.parse itself is slow on text that is all brackets.
 */
export const MAX_BODY_DEPTH = 64;
/** Fields and items with a fault of their own that are kept apart: the events of a batch. A body with more is refused as a whole. */
const MAX_FAULTY_PLACES = 1000;

export interface JsonBody {
  readonly value: unknown;
  /** The first fault in each field of the body, or in each item of a field that is a list; by its path: `data`, `events[3]`. */
  readonly faults: ReadonlyMap<string, JsonFault>;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** An empty body is an empty object: actions such as `/retry` need no input. Throws as `parseJson` does. */
export function parseJsonBody(bytes: Uint8Array): JsonBody {
  return bytes.byteLength === 0 ? { value: {}, faults: new Map() } : parseJson(bytes);
}

/** Throws `body_malformed` for what is no JSON. */
export function parseJson(bytes: Uint8Array): JsonBody {
  const shape = jsonShape(bytes);
  const isDeep = shape.depth > MAX_BODY_DEPTH;
  const faults = new Map<string, JsonFault>();
  const onFault = (fault: JsonFault): void => {
    const place = /^[^.[]*(\[\d+\])?/.exec(fault.path)?.[0] ?? '';
    if (faults.has(place)) return;
    if (faults.size === MAX_FAULTY_PLACES) throw faultError(fault);
    faults.set(place, fault);
  };
  try {
    const value = isDeep
      ? inspectJson(utf8.decode(cutDeeper(bytes, MAX_BODY_DEPTH)), null, onFault)
      : inspectJson(utf8.decode(bytes), shape, onFault);
    return { value, faults };
  } catch (cause) {
    if (cause instanceof ServiceError) throw cause;
    if (isDeep) {
      throw new ServiceError('payload_too_deep', `The body is nested deeper than ${MAX_BODY_DEPTH} levels.`);
    }
    throw new ServiceError('body_malformed', 'The body is not well-formed UTF-8 JSON.', { cause });
  }
}

/** The fault as its caller is sent it. `within` is the path of the item at fault, whose fields it then names. */
export function faultError({ path, reason, message }: JsonFault, within = ''): ServiceError {
  const inside = path.slice(within.length).replace(/^\./, '');
  // Sixty-four levels of keys say no more than the field that they stand in.
  const field = reason === 'payload_too_deep' ? inside.replace(/[.[].*$/s, '') : inside;
  const violations = field === '' ? [] : [{ field, message }];
  return new ServiceError(reason, `${field === '' ? 'the body' : field}: ${message}`, { violations });
}
