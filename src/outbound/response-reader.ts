// Reads the response to one request (RFC 9112) from the bytes of its connection. A whole status line is the receiver's verdict, whatever
// follows; but a connection on which anything could be read in two ways is never used again.
import type { AttemptError } from '../domain/delivery.ts';
import type { ResponseOddity } from '../domain/response-oddity.ts';
import { endOfHead, readHead, readStatus, type Framing, type ResponseHead } from './response-head.ts';

/** Status line and headers of one response, and the trailers after its chunks. */
const MAX_HEAD_BYTES = 16_384;
/** The line before a chunk: sixteen digits, and extensions that no server uses. */
const MAX_CHUNK_LINE_BYTES = 256;
/** Some servers fill the size up with zeros to a fixed width. The extensions behind it have no meaning. */
const CHUNK_SIZE = /^0{0,9}([0-9A-Fa-f]{1,7})(?:;[!#$%&'*+.^_`|~0-9A-Za-z=;-]*)?$/;
const TRAILER_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/;
/** Not to be said again behind the body (RFC 9110, 6.5.1). */
const FRAMING_LINE = /^(?:content-length|transfer-encoding):/i;
const LINE_END = '\r\n';
const EMPTY = Buffer.alloc(0);

/** No request asked for another protocol, and what follows is not HTTP: it is the last response on its connection. */
const SWITCHING_PROTOCOLS = 101;

/** What listeners get of a response's head. */
export type HeadVerdict = Pick<ResponseHead, 'status' | 'retryAfter'>;

export interface ResponseListener {
  /** A response such as `100 Continue`, which comes before the real one. */
  onInformational(): void;
  /** The status line of the real response is whole. Called only when its headers do not come with it. */
  onStatus(status: number): void;
  /** @param text the whole head, for a diagnosis, which reads more of it */
  onHead(head: HeadVerdict, text: string): void;
  /** The first thing about the response that is odd, if anything is. The connection is not reusable then. */
  onOddity(oddity: ResponseOddity): void;
  /** A part of the body; the bytes are good for the duration of the call. */
  onBody(bytes: Buffer): void;
}

/** `more`: it goes on. `complete`: it was read to its end. Else what is wrong with it. */
export type Progress = 'more' | 'complete' | AttemptError;

type State = 'head' | 'sized' | 'unframed' | 'chunk line' | 'chunk' | 'chunk end' | 'trailers' | 'complete';

/** What comes behind a head, and null where that cannot be known. */
const STATES: Record<Framing, State | null> = {
  none: 'complete',
  sized: 'sized',
  chunked: 'chunk line',
  'until the end': 'unframed',
  unknown: null,
};

export class ResponseReader {
  #listener: ResponseListener | null = null;
  #state: State = 'head';
  /** What has arrived of a head or a line that is not complete. */
  #rest: Buffer = EMPTY;
  /** Bytes of the body, or of the present chunk, that are still to come. */
  #left = 0;
  #trailerBytes = 0;
  #reusableMs = 0;
  #isOdd = false;
  #isStatusSent = false;
  /** The last head, and what it says: within a second a server sends the same one. */
  #headText = '';
  #headBytes: Buffer = EMPTY;
  #head: ResponseHead | null = null;

  /** From here on the bytes are those of another response. */
  begin(listener: ResponseListener): void {
    this.#listener = listener;
    this.#state = 'head';
    this.#rest = EMPTY;
    this.#left = 0;
    this.#trailerBytes = 0;
    this.#reusableMs = 0;
    this.#isOdd = false;
    this.#isStatusSent = false;
  }

  /** After `complete`: for how many ms the other side keeps the connection open; 0 when it is of no further use. */
  get reusableMs(): number {
    return this.#isOdd ? 0 : this.#reusableMs;
  }

  read(chunk: Buffer): Progress {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#rest = EMPTY;
    let at = 0;
    for (;;) {
      const next = this.#step(bytes, at);
      if (typeof next !== 'number') return next;
      if (this.#state === 'complete') {
        // No request has asked for what comes after it.
        if (next < bytes.length) this.#odd('bytes_after_end');
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

  /** Returns how far it came, or what is wrong. */
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
    const seen = this.#head;
    const afterSeen = at + this.#headBytes.length;
    // Compared as bytes: most responses of a connection have the head of the one before, and need no text.
    if (
      seen !== null &&
      afterSeen <= bytes.length &&
      bytes.compare(this.#headBytes, 0, this.#headBytes.length, at, afterSeen) === 0
    )
      return this.#begin(seen) ?? afterSeen;
    const text = bytes.toString('latin1', at, Math.min(bytes.length, at + MAX_HEAD_BYTES));
    const end = endOfHead(text);
    if (end !== null) {
      const head = readHead(text.slice(0, end));
      if (head === null) return 'protocol_error';
      this.#headText = text.slice(0, end);
      this.#headBytes = Buffer.from(this.#headText, 'latin1');
      this.#head = head;
      return this.#begin(head) ?? at + end;
    }
    const status = readStatus(text);
    if (status === 'invalid') return 'protocol_error';
    if (status !== null && isFinal(status)) this.#sendStatus(status);
    if (text.length < MAX_HEAD_BYTES) return at;
    if (status !== null) this.#odd('headers_too_large');
    return 'response_headers_too_large';
  }

  #sendStatus(status: number): void {
    if (!this.#isStatusSent) this.#listener?.onStatus(status);
    this.#isStatusSent = true;
  }

  #begin(head: ResponseHead): AttemptError | null {
    if (head.oddity !== null) this.#odd(head.oddity);
    if (!isFinal(head.status)) {
      this.#listener?.onInformational();
      return null;
    }
    this.#listener?.onHead(head, this.#headText);
    const state = STATES[head.framing];
    if (state === null) return 'protocol_error';
    this.#state = state;
    this.#left = head.length;
    this.#reusableMs = head.status === SWITCHING_PROTOCOLS ? 0 : head.reusableMs;
    return null;
  }

  #odd(oddity: ResponseOddity): void {
    if (!this.#isOdd) this.#listener?.onOddity(oddity);
    this.#isOdd = true;
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
    if (line === null) return bytes.length - at > MAX_CHUNK_LINE_BYTES ? this.#broken('chunk_malformed') : at;
    const [, size] = CHUNK_SIZE.exec(line) ?? [];
    if (size === undefined) return this.#broken('chunk_malformed');
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? 'trailers' : 'chunk';
    return at + line.length + LINE_END.length;
  }

  #readChunkEnd(bytes: Buffer, at: number): number | AttemptError {
    if (bytes.length - at < LINE_END.length) return at;
    if (bytes.toString('latin1', at, at + LINE_END.length) !== LINE_END) return this.#broken('chunk_malformed');
    this.#state = 'chunk line';
    return at + LINE_END.length;
  }

  #readTrailer(bytes: Buffer, at: number): number | AttemptError {
    const line = lineAt(bytes, at, MAX_HEAD_BYTES);
    if (line === null) return bytes.length - at > MAX_HEAD_BYTES ? this.#broken('trailer_malformed') : at;
    this.#trailerBytes += line.length + LINE_END.length;
    if (this.#trailerBytes > MAX_HEAD_BYTES) return this.#broken('trailer_malformed');
    if (line === '') this.#state = 'complete';
    else if (!TRAILER_LINE.test(line) || FRAMING_LINE.test(line)) return this.#broken('trailer_malformed');
    return at + line.length + LINE_END.length;
  }

  /** Nothing behind this differs from a next response. */
  #broken(oddity: ResponseOddity): AttemptError {
    this.#odd(oddity);
    return 'protocol_error';
  }
}

/** Whether no other response follows: any other 1xx comes before the real one (RFC 9110, 15.2). */
function isFinal(status: number): boolean {
  return status >= 200 || status === SWITCHING_PROTOCOLS;
}

/** A line without its end; null while that has not come within `maxBytes`. */
function lineAt(bytes: Buffer, at: number, maxBytes: number): string | null {
  const text = bytes.toString('latin1', at, Math.min(bytes.length, at + maxBytes + LINE_END.length));
  const end = text.indexOf(LINE_END);
  return end < 0 ? null : text.slice(0, end);
}
