// Reads JSON text and refuses what JSON.parse would change without a word: repeated keys, and integers that a double cannot hold.
import { invalid } from './errors.ts';

/** Every integer of fewer digits survives a double. */
const LONG_INTEGER_DIGITS = 16;

/** What one pass over the bytes tells; enough to know that most texts are in order. */
export interface JsonShape {
  readonly depth: number;
  /** Keys of all objects, repeated ones included. */
  readonly keys: number;
  readonly hasLongInteger: boolean;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;

/** Takes any bytes and any depth. UTF-8 never uses the bytes of JSON's punctuation inside another character. */
export function jsonShape(bytes: Uint8Array): JsonShape {
  let depth = 0;
  let deepest = 0;
  let keys = 0;
  let digits = 0;
  let hasLongInteger = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i] as number;
    if (byte >= ZERO && byte <= NINE) {
      digits += 1;
      if (digits === LONG_INTEGER_DIGITS) hasLongInteger = true;
      continue;
    }
    digits = 0;
    if (byte === QUOTE) {
      i = endOfString(bytes, i + 1);
    } else if (byte === COLON) keys += 1;
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > deepest) deepest = depth;
    } else if (byte === 0x7d || byte === 0x5d) depth -= 1;
  }
  return { depth: deepest, keys, hasLongInteger };
}

/** Most keys and values end within so many bytes; the end of a longer string is looked for by the runtime, many bytes at a time. */
const NEAR_BYTES = 24;

/** Where the string whose first byte is at `from` has its closing quote; behind the last byte where it has none. */
function endOfString(bytes: Uint8Array, from: number): number {
  const near = Math.min(bytes.length, from + NEAR_BYTES);
  let at = from;
  for (; at < near; at += 1) {
    if (bytes[at] === QUOTE) return at;
    if (bytes[at] === BACKSLASH) at += 1;
  }
  for (;;) {
    // Not Buffer's own, which costs more to call than most strings are long.
    const quote = Uint8Array.prototype.indexOf.call(bytes, QUOTE, at);
    if (quote === -1) return bytes.length;
    let slash = quote;
    while (slash > at && bytes[slash - 1] === BACKSLASH) slash -= 1;
    // Of an even number of backslashes each pair is one, and the quote ends the string.
    if ((quote - slash) % 2 === 0) return quote;
    at = quote + 1;
  }
}

/**
 * Parses JSON whose depth the caller has bounded, since this recurses. Throws a SyntaxError for what is no JSON, and
 * `key_duplicate` or `payload_number_not_representable` with the path, which starts with `field` where there is one.
 */
export function parseExactJson(text: string, shape: JsonShape, field = ''): unknown {
  const value: unknown = JSON.parse(text);
  // JSON.parse keeps one of several equal keys, so fewer come out than stand in the text.
  if (shape.hasLongInteger || countKeys(value) !== shape.keys) new ExactReader(text).value(field);
  return value;
}

function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countKeys(item);
    return count;
  }
  const keys = Object.keys(value);
  count = keys.length;
  for (const key of keys) count += countKeys((value as Record<string, unknown>)[key]);
  return count;
}

const SPACE = /[ \t\r\n]*/y;
const SCALAR = /[^\s,\]}]+/y;
const LONG_INTEGER = /^-?\d{16,}$/;

/** Walks text that JSON.parse has taken, so it need not look for mistakes of syntax. */
class ExactReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(path: string): void {
    this.#take(SPACE);
    const first = this.#text[this.#at];
    if (first === '{') this.#object(path);
    else if (first === '[') this.#array(path);
    else if (first === '"') this.#string();
    else refuseInexact(this.#take(SCALAR), path);
    this.#take(SPACE);
  }

  #object(path: string): void {
    const seen = new Set<string>();
    this.#at += 1;
    this.#take(SPACE);
    while (this.#text[this.#at] !== '}') {
      this.#take(SPACE);
      const key = JSON.parse(this.#string()) as string;
      const keyPath = path === '' ? key : `${path}.${key}`;
      if (seen.has(key)) throw invalid('key_duplicate', keyPath, 'stands twice in one object');
      seen.add(key);
      this.#take(SPACE);
      this.#at += 1;
      this.value(keyPath);
      if (this.#text[this.#at] === ',') this.#at += 1;
    }
    this.#at += 1;
  }

  #array(path: string): void {
    this.#at += 1;
    this.#take(SPACE);
    for (let index = 0; this.#text[this.#at] !== ']'; index += 1) {
      this.value(`${path}[${index}]`);
      if (this.#text[this.#at] === ',') this.#at += 1;
    }
    this.#at += 1;
  }

  // Not by a pattern: its backtracking would overflow on a string of a megabyte.
  #string(): string {
    const start = this.#at;
    this.#at += 1;
    while (this.#text[this.#at] !== '"') this.#at += this.#text[this.#at] === '\\' ? 2 : 1;
    this.#at += 1;
    return this.#text.slice(start, this.#at);
  }

  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const taken = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += taken.length;
    return taken;
  }
}

// A receiver gets what JSON.stringify writes. 12345678901234567168 is a double, but is written 12345678901234567000.
function refuseInexact(source: string, path: string): void {
  if (!LONG_INTEGER.test(source) || String(Number(source)) === source) return;
  throw invalid('payload_number_not_representable', path, 'is an integer that a double does not carry; send it as a string');
}
