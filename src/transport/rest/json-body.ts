// Reads a JSON body: strict UTF-8, bounded depth, and nothing guessed about what it does not say.
import { ServiceError } from '../../domain/errors.ts';

/**
 * Levels of nesting in a whole body: the payload's 32 and what stands around it, with room for messages that are deeper than any
 * here. JSON.parse takes any depth, but what walks its result afterwards recurses.
 */
export const MAX_BODY_DEPTH = 64;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** An empty body is an empty object: actions such as `/retry` need no input. Throws `body_malformed` and `payload_too_deep`. */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.byteLength === 0) return {};
  refuseDeep(bytes);
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch (cause) {
    throw new ServiceError('invalid_argument', 'body_malformed', 'The body is not well-formed UTF-8 JSON.', { cause });
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

// Brackets are counted before anything is parsed. UTF-8 never uses their bytes inside another character.
function refuseDeep(bytes: Uint8Array): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i];
    if (inString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > MAX_BODY_DEPTH) {
        throw new ServiceError(
          'invalid_argument',
          'payload_too_deep',
          `The body is nested deeper than ${MAX_BODY_DEPTH} levels.`,
        );
      }
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
}
