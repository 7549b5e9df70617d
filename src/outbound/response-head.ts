// Reads a status line and header lines: leniently, because the status is the receiver's verdict, and naming what is odd, because an
// odd response is the last one that its connection may carry.
import type { ResponseOddity } from '../domain/response-oddity.ts';

/**
 * A whole status line (RFC 9112, 4): `HTTP/1.` and one digit, a space, three digits of which the first is not 0, then its end, or a space
 * and whatever reason there is. A line ends with a line feed, with or without a carriage return before it (RFC 9112, 2.2). Nothing but
 * empty lines may stand before it.
 */
const STATUS_LINE = /^HTTP\/1\.(\d) ([1-9]\d\d)(?: (.*))?$/s;
/** What every whole status line begins with. */
const BEGINNING = 'HTTP/1.';
const HEADER_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VISIBLE = /^[\t\x20-\x7e\x80-\xff]*$/;
const LENGTH = /^\d{1,15}$/;
const CLOSE = /(?:^|[,\s])close(?:$|[,\s])/i;
const KEEP_ALIVE = /(?:^|[,\s])keep-alive(?:$|[,\s])/i;
const KEPT_SECONDS = /(?:^|[,;\s])timeout=(\d{1,6})/i;

const NO_CONTENT = 204;
const NOT_MODIFIED = 304;

/** How the end of the body is found (RFC 9112, 6.3); `unknown`: it cannot be. */
export type Framing = 'none' | 'sized' | 'chunked' | 'until the end' | 'unknown';

export interface ResponseHead {
  readonly status: number;
  readonly framing: Framing;
  /** Bytes of a body that is `sized`. */
  readonly length: number;
  /** For how many ms the other side keeps the connection open afterwards; 0: it closes, or must be closed. */
  readonly reusableMs: number;
  /** The value of `Retry-After`, when there is exactly one. */
  readonly retryAfter: string | undefined;
  /** The first thing that is odd about it. */
  readonly oddity: ResponseOddity | null;
}

/** The status of the first line. `null`: the line has not ended yet. `invalid`: it is no status line, and never will be. */
export function readStatus(text: string): number | 'invalid' | null {
  const begin = beginOf(text);
  if (!text.startsWith(BEGINNING.slice(0, text.length - begin), begin)) return 'invalid';
  const end = text.indexOf('\n', begin);
  if (end < 0) return null;
  const [, , status] = STATUS_LINE.exec(withoutReturn(text.slice(begin, end))) ?? [];
  return status === undefined ? 'invalid' : Number(status);
}

/** Behind the empty line that ends a head; null while it has not come. */
export function endOfHead(text: string): number | null {
  for (let feed = text.indexOf('\n', beginOf(text)); feed >= 0; feed = text.indexOf('\n', feed + 1)) {
    if (text[feed + 1] === '\n') return feed + 2;
    if (text[feed + 1] === '\r' && text[feed + 2] === '\n') return feed + 3;
  }
  return null;
}

/** @param text what `endOfHead` found the end of; null: its first line is no status line */
export function readHead(text: string): ResponseHead | null {
  const begin = beginOf(text);
  // Behind the last line feed there is nothing, and before it stands the empty line.
  const lines = text.slice(begin, -1).split('\n');
  const parts = STATUS_LINE.exec(withoutReturn(lines[0] ?? ''));
  if (parts === null) return null;
  const [, minor, code, reason = ''] = parts;
  const status = Number(code);
  const headers = new Headers();
  if (begin > 0) headers.odd('blank_line_first');
  if (Number(minor) > 1) headers.odd('version_unknown');
  if (!VISIBLE.test(reason)) headers.odd('control_character');
  for (const line of lines) if (!line.endsWith('\r')) headers.odd('bare_line_feed');
  for (let i = 1; i < lines.length - 1; i += 1) headers.read(withoutReturn(lines[i] ?? ''));
  const framing = headers.framing(status, minor === '0');
  return {
    status,
    framing,
    length: framing === 'sized' ? Number.parseInt(headers.lengths[0] ?? '', 10) : 0,
    reusableMs: headers.oddity === null ? headers.keptMs(minor === '0') : 0,
    retryAfter: headers.retryAfter,
    oddity: headers.oddity,
  };
}

/** The headers that decide how a response is read, or are asked for; the others are only looked at for oddities. */
class Headers {
  oddity: ResponseOddity | null = null;
  /** Of each one value a line. */
  readonly lengths: string[] = [];
  readonly #codings: string[] = [];
  readonly #connection: string[] = [];
  readonly #keepAlive: string[] = [];
  readonly #retryAfter: string[] = [];
  /** Where a folded line goes on; null: that header is not read. */
  #last: string[] | null = null;

  odd(oddity: ResponseOddity): void {
    this.oddity ??= oddity;
  }

  read(line: string): void {
    if (HEADER_LINE.test(line)) this.#add(line, line.indexOf(':'));
    else this.#readOdd(line);
  }

  #readOdd(line: string): void {
    if (line.startsWith(' ') || line.startsWith('\t')) {
      this.odd('folded_line');
      // RFC 9112, 5.2: it goes on with the value before it, behind a space.
      if (this.#last !== null) this.#last.push(`${this.#last.pop() ?? ''} ${line.trim()}`.trim());
      return;
    }
    this.#last = null;
    const colon = line.indexOf(':');
    if (colon < 0) return this.odd('line_without_colon');
    if (!TOKEN.test(line.slice(0, colon).trimEnd())) return this.odd('header_name_invalid');
    this.odd(VISIBLE.test(line.slice(colon + 1)) ? 'space_before_colon' : 'control_character');
    this.#add(line, colon);
  }

  #add(line: string, colon: number): void {
    this.#last = this.#valuesOf(line.slice(0, colon).trimEnd());
    this.#last?.push(line.slice(colon + 1).trim());
  }

  // By their lengths first: most headers are none of these, and taking a name to lower case costs more than the rest.
  #valuesOf(name: string): string[] | null {
    switch (name.length) {
      case 10:
        return isName(name, 'connection') ? this.#connection : isName(name, 'keep-alive') ? this.#keepAlive : null;
      case 11:
        return isName(name, 'retry-after') ? this.#retryAfter : null;
      case 14:
        return isName(name, 'content-length') ? this.lengths : null;
      case 17:
        return isName(name, 'transfer-encoding') ? this.#codings : null;
      default:
        return null;
    }
  }

  get retryAfter(): string | undefined {
    return this.#retryAfter.length === 1 ? this.#retryAfter[0] : undefined;
  }

  /** How the body ends. What RFC 9112, 6.3 calls faulty, or asks to close the connection after, is odd. */
  framing(status: number, isOldVersion: boolean): Framing {
    const lengths = members(this.lengths);
    const codings = members(this.#codings);
    if (status < 200 || status === NO_CONTENT || status === NOT_MODIFIED) {
      // A server that sends what it announces here would have it taken for the next response.
      if (codings.length > 0 || lengths.some((length) => !/^0+$/.test(length))) this.odd('body_not_allowed');
      return 'none';
    }
    if (codings.length > 0) {
      if (lengths.length > 0) this.odd('length_with_coding');
      if (isOldVersion || codings.filter(isChunked).length > 1) this.odd('coding_invalid');
      return isChunked(codings.at(-1) ?? '') ? 'chunked' : 'until the end';
    }
    if (lengths.length === 0) return 'until the end';
    if (!lengths.every((length) => LENGTH.test(length))) return this.#unknown('length_invalid');
    if (lengths.some((length) => Number(length) !== Number(lengths[0]))) return this.#unknown('lengths_differ');
    if (lengths.length > 1) this.odd('length_repeated');
    return Number(lengths[0]) === 0 ? 'none' : 'sized';
  }

  #unknown(oddity: ResponseOddity): Framing {
    this.odd(oddity);
    return 'unknown';
  }

  keptMs(isOldVersion: boolean): number {
    const options = this.#connection.join(',');
    if (isOldVersion ? !KEEP_ALIVE.test(options) : CLOSE.test(options)) return 0;
    if (this.#keepAlive.length === 0) return Number.POSITIVE_INFINITY;
    const [, seconds] = KEPT_SECONDS.exec(this.#keepAlive.join(',')) ?? [];
    return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000;
  }
}

/** The members of a list over all its lines (RFC 9110, 5.6.1); an empty line is a member, too. */
function members(values: readonly string[]): readonly string[] {
  if (values.length === 0 || (values.length === 1 && !values[0]?.includes(','))) return values;
  return values.flatMap((value) => value.split(',').map((member) => member.trim()));
}

const isName = (name: string, expected: string): boolean => name === expected || name.toLowerCase() === expected;

/** Behind the empty lines that may stand before a status line. */
function beginOf(text: string): number {
  let at = 0;
  while (text[at] === '\r' || text[at] === '\n') at += 1;
  return at;
}

const isChunked = (coding: string): boolean => coding.toLowerCase() === 'chunked';
const withoutReturn = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line);
