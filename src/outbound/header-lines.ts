// The header lines of a request: looked at once, and text from then on.
import { TOKEN } from '../security/custom-headers.ts';

/** What frames the message is the client's to say. */
const FRAMING_NAMES = new Set([
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
]);
/** Latin-1 without control characters (RFC 9110, 5.5): nothing that could begin another header, or request. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

declare const isChecked: unique symbol;
/** Lines that may be sent as they are, each with its end. Made here alone. */
export type HeaderLines = string & { readonly [isChecked]: true };

/** Null when one of them may not be sent. */
export function headerLines(headers: Readonly<Record<string, string>>): HeaderLines | null {
  const names = Object.keys(headers);
  if (!names.every(isSendable)) return null;
  return new HeaderForm(names).lines(Object.values(headers));
}

/** Lines whose names are the same each time. Throws a RangeError when one of the names may not be sent. */
export class HeaderForm {
  /** What stands before each value: the end of the line before, and its name. */
  readonly #before: readonly string[];

  constructor(names: readonly string[]) {
    if (!names.every(isSendable)) throw new RangeError('a header with such a name cannot be sent');
    this.#before = names.map((name, index) => `${index === 0 ? '' : '\r\n'}${name}: `);
  }

  /**
   * The lines with these values, one for each name and in their order; null when one of the values may not be sent. Joined once: adding
   * piece to piece leaves two kilobytes of pieces a request behind.
   */
  lines(values: readonly string[]): HeaderLines | null {
    if (values.length === 0) return '' as HeaderLines;
    const parts: string[] = [];
    for (let i = 0; i < values.length; i += 1) {
      const value = values[i] ?? '';
      if (!VALUE.test(value)) return null;
      parts.push(this.#before[i] ?? '', value);
    }
    parts.push('\r\n');
    return parts.join('') as HeaderLines;
  }
}

export function joinLines(first: HeaderLines, second: HeaderLines): HeaderLines {
  return (first + second) as HeaderLines;
}

function isSendable(name: string): boolean {
  return TOKEN.test(name) && !FRAMING_NAMES.has(name.toLowerCase());
}
