// Reads a JSON body: strict UTF-8, bounded depth, nothing changed on the way, and nothing guessed about what it does not say.
import { ServiceError } from '../../domain/errors.ts';
import { jsonShape, parseExactJson } from '../../domain/json-text.ts';

/**
 * Levels of nesting in a whole body: the payload's 32 and what stands around it, with room for messages that are deeper than any
 * here. JSON.parse takes any depth, but what walks its result afterwards recurses.
 */
export const MAX_BODY_DEPTH = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** An empty body is an empty object: actions such as `/retry` need no input. Throws as `parseJson` does. */
export function parseJsonBody(bytes: Uint8Array): unknown {
  return bytes.byteLength === 0 ? {} : parseJson(bytes);
}

/** Throws `body_malformed`, `payload_too_deep`, `key_duplicate` and `payload_number_not_representable`. */
export function parseJson(bytes: Uint8Array): unknown {
  const shape = jsonShape(bytes);
  if (shape.depth > MAX_BODY_DEPTH) {
    throw new ServiceError('invalid_argument', 'payload_too_deep', `The body is nested deeper than ${MAX_BODY_DEPTH} levels.`);
  }
  try {
    return parseExactJson(utf8.decode(bytes), shape);
  } catch (cause) {
    if (cause instanceof ServiceError) throw cause;
    throw new ServiceError('invalid_argument', 'body_malformed', 'The body is not well-formed UTF-8 JSON.', { cause });
  }
}
