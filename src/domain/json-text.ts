// Reads JSON text and refuses what JSON.parse would change without a word: repeated keys, and integers that a double cannot hold.
import { invalid } from './errors.ts';
import type { Reason } from './errors.ts';

/** Every integer of fewer digits survives a double. */
const LONG_INTEGER_DIGITS = 16;

/** What one pass over the bytes finds; enough to know that most texts are in order. */
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

/** One place in a text that cannot be taken as it stands. */
export interface JsonFault {
  /** As in `data.items[0].price`, cut when it is long. */
  readonly path: string;
  readonly reason: Reason;
  readonly message: string;
}

/**
 * Parses JSON whose depth the caller has bounded, since this recurses. Throws a SyntaxError for what is no JSON, and
 * `key_duplicate` or `payload_number_not_representable` with the path, which starts with `field` where there is one.
 */
export function parseExactJson(text: string, shape: JsonShape, field = ''): unknown {
  const value: unknown = JSON.parse(text);
  // JSON.parse keeps one of several equal keys, so fewer come out than stand in the text.
  if (shape.hasLongInteger || countKeys(value) !== shape.keys) {
    const reader = new ExactReader(text, ({ path, reason, message }) => {
      throw invalid(reason, path, message);
    });
    reader.value(field);
  }
  return value;
}

/**
 * Parses JSON whose depth the caller has bounded, and calls `onFault` for every place of the text that `parseExactJson` would refuse, and
 * for each that `cutDeeper` has cut. Throws a SyntaxError for what is no JSON. `shape` is null for text that was cut.
 */
export function inspectJson(text: string, shape: JsonShape | null, onFault: (fault: JsonFault) => void): unknown {
  const value: unknown = JSON.parse(text);
  if (shape === null || shape.hasLongInteger || countKeys(value) !== shape.keys) new ExactReader(text, onFault).value('');
  return value;
}

/** Stands where something was cut: a number that no text has. */
const CUT = '0.000000000000000000000e-0064';

/** The same text without what lies deeper than `maxDepth`. JSON.parse would take 0.3 s for half a megabyte of brackets. */
export function cutDeeper(bytes: Uint8Array, maxDepth: number): Buffer {
  const pieces: Uint8Array[] = [];
  let depth = 0;
  let keptFrom = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i] as number;
    if (byte === QUOTE) i = endOfString(bytes, i + 1);
    else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth === maxDepth + 1) pieces.push(bytes.subarray(keptFrom, i), Buffer.from(CUT));
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1;
      if (depth === maxDepth) keptFrom = i + 1;
    }
  }
  if (depth <= maxDepth) pieces.push(bytes.subarray(keptFrom));
  return Buffer.concat(pieces);
}

/** Characters of a path and of a key in it: keys are the caller's, and an answer must not repeat a megabyte of them. */
const MAX_PATH_LENGTH = 200;
const MAX_KEY_LENGTH = 100;

/** The path of a key of the object at `parent`, which is empty for the text itself. */
export function keyPath(parent: string, key: string): string {
  if (parent.length > MAX_PATH_LENGTH) return parent;
  return parent === '' ? shownKey(key) : `${parent}.${shownKey(key)}`;
}

/** A caller's key as an answer repeats it. */
export function shownKey(key: string): string {
  return key.length > MAX_KEY_LENGTH ? `${key.slice(0, MAX_KEY_LENGTH)}…` : key;
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
  readonly #onFault: (fault: JsonFault) => void;
  #at = 0;

  constructor(text: string, onFault: (fault: JsonFault) => void) {
    this.#text = text;
    this.#onFault = onFault;
  }

  value(path: string): void {
    this.#take(SPACE);
    const first = this.#text[this.#at];
    if (first === '{') this.#object(path);
    else if (first === '[') this.#array(path);
    else if (first === '"') this.#string();
    else this.#scalar(path);
    this.#take(SPACE);
  }

  #object(path: string): void {
    const seen = new Set<string>();
    this.#at += 1;
    this.#take(SPACE);
    while (this.#text[this.#at] !== '}') {
      this.#take(SPACE);
      const key = JSON.parse(this.#string()) as string;
      const valuePath = keyPath(path, key);
      if (seen.has(key)) this.#onFault({ path: valuePath, reason: 'key_duplicate', message: 'stands twice in one object' });
      seen.add(key);
      this.#take(SPACE);
      this.#at += 1;
      this.value(valuePath);
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

  // A receiver gets what JSON.stringify writes. 12345678901234567168 is a double, but is written 12345678901234567000.
  #scalar(path: string): void {
    const source = this.#take(SCALAR);
    if (source === CUT) this.#onFault({ path, reason: 'payload_too_deep', message: 'is nested too deeply' });
    if (!LONG_INTEGER.test(source) || String(Number(source)) === source) return;
    const message = 'is an integer that a double does not carry; send it as a string';
    this.#onFault({ path, reason: 'payload_number_not_representable', message });
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
