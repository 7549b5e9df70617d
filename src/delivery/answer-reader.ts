// Reads the answer to one request (RFC 9112) from the bytes of its connection, and takes nothing that could be read in two ways.
import type { AttemptError } from '../domain/delivery.ts';

/** Status line and headers of one answer, and the trailers after its chunks. */
const MAX_HEAD_BYTES = 16_384;
/** The line before a chunk: sixteen digits, and extensions that nobody uses. */
const MAX_CHUNK_LINE_BYTES = 256;
/** Some servers fill the size up with zeros to a fixed width. The extensions behind it mean nothing to anybody. */
const CHUNK_SIZE = /^0{0,9}([0-9A-Fa-f]{1,7})(?:;[!#$%&'*+.^_`|~0-9A-Za-z=;-]*)?$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const LENGTH = /^\d{1,15}$/;
/** Not to be said again behind the body (RFC 9110, 6.5.1). */
const FRAMING_LINE = /^(?:content-length|transfer-encoding):/i;
const BEGINNINGS = ['HTTP/1.1 ', 'HTTP/1.0 '];
const LINE_END = '\r\n';
const EMPTY = Buffer.alloc(0);

const CONTINUE = 100;
const SWITCHING_PROTOCOLS = 101;
const NO_CONTENT = 204;
const NOT_MODIFIED = 304;

/** What of an answer's head somebody wants to know. */
export interface AnswerHead {
  readonly status: number;
  /** The value of `Retry-After`, when there is exactly one. */
  readonly retryAfter: string | undefined;
}

export interface AnswerListener {
  /** An answer such as `103 Early Hints`, which comes before the real one. */
  onInformational(): void;
  onHead(head: AnswerHead): void;
  /** A part of the body; the bytes are good for the duration of the call. */
  onBody(bytes: Buffer): void;
}

/** `more`: it goes on. `complete`: it was read to its end. Else what is wrong with it. */
export type Progress = 'more' | 'complete' | AttemptError;

type State = 'head' | 'sized' | 'unframed' | 'chunk line' | 'chunk' | 'chunk end' | 'trailers' | 'complete';

export class AnswerReader {
  #listener: AnswerListener | null = null;
  #state: State = 'head';
  /** What has arrived of a head or a line that is not complete. */
  #rest: Buffer = EMPTY;
  /** Bytes of the body, or of the present chunk, that are still to come. */
  #left = 0;
  #trailerBytes = 0;
  #isKept = false;
  #idleMs = Number.POSITIVE_INFINITY;
  /** The last head, and what it says: within a second a server answers with the same one. */
  #headText = '';
  #head: Head | null = null;

  /** From here on the bytes are those of another answer. */
  begin(listener: AnswerListener): void {
    this.#listener = listener;
    this.#state = 'head';
    this.#rest = EMPTY;
    this.#left = 0;
    this.#trailerBytes = 0;
    this.#isKept = false;
    this.#idleMs = Number.POSITIVE_INFINITY;
  }

  /** After `complete`: for how many ms the other side keeps the connection open; 0 when it is of no further use. */
  get reusableMs(): number {
    return this.#isKept ? this.#idleMs : 0;
  }

  read(chunk: Buffer): Progress {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = EMPTY;
    let at = 0;
    for (;;) {
      const next = this.#step(bytes, at);
      if (typeof next !== 'number') return next;
      if (this.#state === 'complete') {
        // Nobody has asked for what comes after it.
        if (next < bytes.length) this.#isKept = false;
        return 'complete';
      }
      // Nothing was used up: it takes more. What came is the caller's own, and may be overwritten.
      if (next === at) {
        if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at));
        return 'more';
      }
      at = next;
    }
  }

  /** To be called when the other side has ended the connection. */
  end(): Progress {
    if (this.#state !== 'unframed') return 'connection_reset';
    this.#state = 'complete';
    return 'complete';
  }

  /** Answers how far it came, or what is wrong. */
  #step(bytes: Buffer, at: number): number | AttemptError {
    switch (this.#state) {
      case 'head':
        return this.#readHead(bytes, at);
      case 'sized':
        return this.#readPart(bytes, at, 'complete');
      case 'unframed':
        if (at < bytes.length) this.#listener?.onBody(bytes.subarray(at));
        return bytes.length;
      case 'chunk line':
        return this.#readChunkLine(bytes, at);
      case 'chunk':
        return this.#readPart(bytes, at, 'chunk end');
      case 'chunk end':
        return this.#readChunkEnd(bytes, at);
      case 'trailers':
        return this.#readTrailer(bytes, at);
      case 'complete':
        return at;
    }
  }

  #readHead(bytes: Buffer, at: number): number | AttemptError {
    const text = bytes.toString('latin1', at, Math.min(bytes.length, at + MAX_HEAD_BYTES));
    if (!BEGINNINGS.some((beginning) => text.startsWith(beginning.slice(0, text.length)))) return 'protocol_error';
    const end = text.indexOf('\r\n\r\n');
    if (end < 0) {
      if (text.length === MAX_HEAD_BYTES) return 'response_headers_too_large';
      // A line that ends without a carriage return will never be followed by the end that is waited for.
      return /(?<!\r)\n/.test(text) ? 'protocol_error' : at;
    }
    const head = text.slice(0, end);
    if (head !== this.#headText) {
      this.#head = headOf(head);
      this.#headText = head;
    }
    if (this.#head === null) return 'protocol_error';
    return this.#begin(this.#head) ?? at + end + 4;
  }

  #begin({ status, isPersistent, headers }: Head): AttemptError | null {
    if (status < 200) {
      // Nobody has asked for either.
      if (status === CONTINUE || status === SWITCHING_PROTOCOLS) return 'protocol_error';
      this.#listener?.onInformational();
      return null;
    }
    const { length, codings } = headers;
    if (length !== undefined && (codings !== undefined || !LENGTH.test(length))) return 'protocol_error';
    const isChunked = codings !== undefined && /(?:^|,)[ \t]*chunked$/i.test(codings);
    if (status === NO_CONTENT || status === NOT_MODIFIED || (length !== undefined && Number(length) === 0))
      this.#state = 'complete';
    else if (isChunked) this.#state = 'chunk line';
    else if (length !== undefined) this.#state = 'sized';
    else this.#state = 'unframed';
    this.#left = Number(length ?? 0);
    const connection = headers.connection?.toLowerCase().split(/[, \t]+/) ?? [];
    this.#isKept = isPersistent ? !connection.includes('close') : connection.includes('keep-alive');
    const [, seconds] = /(?:^|[,; \t])timeout=(\d{1,6})/i.exec(headers.keepAlive ?? '') ?? [];
    if (seconds !== undefined) this.#idleMs = Number(seconds) * 1000;
    this.#listener?.onHead({ status, retryAfter: headers.retryAfter });
    return null;
  }

  #readPart(bytes: Buffer, at: number, following: State): number {
    const end = Math.min(bytes.length, at + this.#left);
    if (end > at) this.#listener?.onBody(bytes.subarray(at, end));
    this.#left -= end - at;
    if (this.#left === 0) this.#state = following;
    return end;
  }

  #readChunkLine(bytes: Buffer, at: number): number | AttemptError {
    const line = lineAt(bytes, at, MAX_CHUNK_LINE_BYTES);
    if (line === null) return bytes.length - at > MAX_CHUNK_LINE_BYTES ? 'protocol_error' : at;
    const [, size] = CHUNK_SIZE.exec(line) ?? [];
    if (size === undefined) return 'protocol_error';
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? 'trailers' : 'chunk';
    return at + line.length + LINE_END.length;
  }

  #readChunkEnd(bytes: Buffer, at: number): number | AttemptError {
    if (bytes.length - at < LINE_END.length) return at;
    if (bytes.toString('latin1', at, at + LINE_END.length) !== LINE_END) return 'protocol_error';
    this.#state = 'chunk line';
    return at + LINE_END.length;
  }

  #readTrailer(bytes: Buffer, at: number): number | AttemptError {
    const line = lineAt(bytes, at, MAX_HEAD_BYTES);
    if (line === null) return bytes.length - at > MAX_HEAD_BYTES ? 'response_headers_too_large' : at;
    this.#trailerBytes += line.length + LINE_END.length;
    if (this.#trailerBytes > MAX_HEAD_BYTES) return 'response_headers_too_large';
    if (line === '') this.#state = 'complete';
    else if (!HEADER_LINE.test(line) || FRAMING_LINE.test(line)) return 'protocol_error';
    return at + line.length + LINE_END.length;
  }
}

/** A line without its end; null while that has not come within `maxBytes`. */
function lineAt(bytes: Buffer, at: number, maxBytes: number): string | null {
  const text = bytes.toString('latin1', at, Math.min(bytes.length, at + maxBytes + LINE_END.length));
  const end = text.indexOf(LINE_END);
  return end < 0 ? null : text.slice(0, end);
}

interface Head {
  readonly status: number;
  /** HTTP/1.1, where a connection is kept unless somebody says otherwise. */
  readonly isPersistent: boolean;
  readonly headers: Headers;
}

/** Null for what is no head. */
function headOf(text: string): Head | null {
  const lines = text.split(LINE_END);
  const [, minor, status] = STATUS_LINE.exec(lines[0] ?? '') ?? [];
  const headers = readHeaders(lines);
  return status === undefined || headers === null ? null : { status: Number(status), isPersistent: minor === '1', headers };
}

interface Headers {
  length?: string;
  codings?: string;
  connection?: string;
  keepAlive?: string;
  retryAfter?: string;
}

/** What decides how the answer is read, and is asked for; null when a line is no header or there are two lengths. */
function readHeaders(lines: readonly string[]): Headers | null {
  const headers: Headers = {};
  let retryAfters = 0;
  for (let i = 1; i < lines.length; i += 1) {
    const [, name, value] = HEADER_LINE.exec(lines[i] ?? '') ?? [];
    if (name === undefined || value === undefined) return null;
    switch (name.toLowerCase()) {
      case 'content-length':
        if (headers.length !== undefined) return null;
        headers.length = value.trimEnd();
        break;
      case 'transfer-encoding':
        headers.codings = joined(headers.codings, value);
        break;
      case 'connection':
        headers.connection = joined(headers.connection, value);
        break;
      case 'keep-alive':
        headers.keepAlive = joined(headers.keepAlive, value);
        break;
      case 'retry-after':
        retryAfters += 1;
        headers.retryAfter = value;
        break;
    }
  }
  if (retryAfters > 1) delete headers.retryAfter;
  return headers;
}

const joined = (before: string | undefined, value: string): string =>
  before === undefined ? value.trimEnd() : `${before}, ${value.trimEnd()}`;
