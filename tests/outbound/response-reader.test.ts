// The reader of answers: however the bytes arrive it reads the same, and where Node's own parser takes an answer it reads the same as that.
import { createServer, type AddressInfo } from 'node:net';
import { request } from 'node:http';
import { once } from 'node:events';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ResponseOddity } from '../../src/domain/response-oddity.ts';
import { ResponseReader, type Progress } from '../../src/outbound/response-reader.ts';

interface Read {
  readonly progress: Progress;
  readonly status: number | null;
  readonly retryAfter: string | undefined;
  readonly body: string;
  readonly informational: number;
  readonly oddity: ResponseOddity | null;
  readonly reusableMs: number;
}

/** One for all, as a connection has one for all its answers: nothing of one may be left for the next. */
const reader = new ResponseReader();

/** Reads an answer that arrives in these parts, each overwritten as soon as it was taken; `isEnded`: then the connection ends. */
function readParts(parts: readonly Buffer[], isEnded: boolean): Read {
  let status: number | null = null;
  let retryAfter: string | undefined;
  let body = '';
  let informational = 0;
  let oddity: ResponseOddity | null = null;
  reader.begin({
    onInformational: () => void (informational += 1),
    onStatus: (told) => void (status = told),
    onOddity: (told) => void (oddity = told),
    onHead: (head) => ({ status, retryAfter } = head),
    onBody: (bytes) => void (body += bytes.toString('latin1')),
  });
  let progress: Progress = 'more';
  for (const part of parts) {
    const bytes = Buffer.from(part);
    if (progress === 'more') progress = reader.read(bytes);
    bytes.fill(0x58);
  }
  if (progress === 'more' && isEnded) progress = reader.end();
  return { progress, status, retryAfter, body, informational, oddity, reusableMs: reader.reusableMs };
}

const cutAt = (bytes: Buffer, places: readonly number[]): Buffer[] => {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
};

const token = fc.string({ unit: fc.constantFrom(...'abcxyzABC019-_.'.split('')), minLength: 1, maxLength: 12 });
const text = fc.string({ unit: fc.constantFrom(...' \t!"#abcz~\u00a0\u00ff'.split('')), maxLength: 20 });
const header = fc.tuple(
  token.filter((name) => !/^(content-length|transfer-encoding|connection|keep-alive|retry-after)$/i.test(name)),
  text,
);
const body = fc.string({ unit: fc.constantFrom(...'ab\r\n0:;\u00e9'.split('')), maxLength: 60 });
const chunk = fc.tuple(
  body.filter((part) => part !== ''),
  fc.constantFrom('', ';a', ';a=b', ';a=b;c'),
  fc.boolean(),
);

/** An answer that is well formed, with its body in one of the ways that there are. */
const answer = fc
  .record({
    status: fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304),
    reason: text,
    headers: fc.array(header, { maxLength: 6 }),
    early: fc.array(
      fc.integer({ min: 100, max: 199 }).filter((code) => code !== 101),
      { maxLength: 2 },
    ),
    framing: fc.oneof(
      fc.record({ kind: fc.constant('length' as const), body }),
      fc.record({ kind: fc.constant('end' as const), body }),
      fc.record({ kind: fc.constant('chunks' as const), chunks: fc.array(chunk, { maxLength: 5 }) }),
    ),
  })
  .map(({ status, reason, headers, early, framing }) => {
    const own = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
    const before = early.map((code) => `HTTP/1.1 ${code} Early\r\n\r\n`).join('');
    const head = `${before}HTTP/1.1 ${status} ${reason}\r\n${own}`;
    if (framing.kind === 'length') return `${head}Content-Length: ${framing.body.length}\r\n\r\n${framing.body}`;
    if (framing.kind === 'end') return `${head}\r\n${framing.body}`;
    const chunks = framing.chunks.map(([part, extension, isUpper]) => {
      const size = part.length.toString(16);
      return `${isUpper ? size.toUpperCase() : size}${extension}\r\n${part}\r\n`;
    });
    return `${head}Transfer-Encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`;
  });
const places = fc.array(fc.nat(2000), { maxLength: 8 });

/** What the lines of an answer say of its status, read in the simplest way. */
function statusOf(sent: string): number | null {
  let rest = sent;
  for (;;) {
    const [line, status] = /^[\r\n]*HTTP\/1\.\d ([1-9]\d\d)(?: [^\n]*|\r)?\n/.exec(rest) ?? [];
    if (line === undefined) return null;
    if (status === '101' || Number(status) >= 200) return Number(status);
    const [before] = /^[\r\n]*[^]*?\n\r?\n/.exec(rest) ?? [];
    if (before === undefined) return null;
    rest = rest.slice(before.length);
  }
}

describe('an answer', () => {
  test('is read the same in whatever parts it arrives', () => {
    fc.assert(
      fc.property(answer, places, (sent, cuts) => {
        const bytes = Buffer.from(sent, 'latin1');
        const whole = readParts([bytes], true);
        expect(whole.progress).toBe('complete');
        expect(readParts(cutAt(bytes, cuts), true)).toEqual(whole);
        expect(
          readParts(
            [...bytes].map((byte) => Buffer.of(byte)),
            true,
          ),
        ).toEqual(whole);
      }),
      { numRuns: 500 },
    );
  });

  test('is read by its own head, whichever heads came before it', () => {
    const heads = [
      ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 200, Number.POSITIVE_INFINITY],
      ['HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', 503, 0],
      ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=3\r\n\r\nok', 200, 3000],
    ] as const;
    for (const n of [0, 0, 1, 0, 1, 1, 2, 0, 2, 1, 0]) {
      const [bytes, status, reusableMs] = heads[n] ?? heads[0];
      expect(readParts([Buffer.from(bytes)], false)).toMatchObject({ progress: 'complete', status, reusableMs });
    }
  });

  test('of any bytes at all is read the same in whatever parts it arrives, and never throws', () => {
    const odd = fc.constantFrom(
      '\0',
      '\n',
      '\r',
      '\r\n\r\n',
      ' ',
      ':',
      'HTTP/1.1 ',
      'g',
      '-1',
      'Content-Length: 1\r\n',
      'Transfer-Encoding: chunked\r\n',
      'HTTP/1.1 100 Continue\n\n',
      '\n\n',
      ' x\r\n',
      '\x7f',
    );
    fc.assert(
      fc.property(
        answer,
        fc.array(fc.tuple(fc.nat(2000), odd), { minLength: 1, maxLength: 3 }),
        places,
        (sent, changes, cuts) => {
          let damaged = sent;
          for (const [place, inserted] of changes) {
            const at = place % (damaged.length + 1);
            damaged = damaged.slice(0, at) + inserted + damaged.slice(at);
          }
          const bytes = Buffer.from(damaged, 'latin1');
          const whole = readParts([bytes], true);
          const parts = readParts(cutAt(bytes, cuts), true);
          // Bytes behind the end of one answer are seen only when they come with it.
          const told = ({ oddity, ...rest }: Read) => ({
            ...rest,
            reusableMs: 0,
            oddity: oddity === 'bytes_after_end' ? null : oddity,
          });
          expect(told(parts)).toEqual(told(whole));
          // The first line that is not of an early answer is the verdict, whatever follows it.
          expect(whole.status).toBe(statusOf(damaged));
          if (whole.oddity !== null) expect(whole.reusableMs).toBe(0);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test.each<[string, number]>([
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', Number.POSITIVE_INFINITY],
    ['HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n', Number.POSITIVE_INFINITY],
    ['HTTP/1.1 204 No Content\r\nkeep-alive: timeout=7, max=100\r\n\r\n', 7000],
    ['HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n', 0],
    ['HTTP/1.1 200 OK\r\nconnection: x, close\r\ncontent-length: 0\r\n\r\n', 0],
    ['HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n', 0],
    ['HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n', Number.POSITIVE_INFINITY],
    ['HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n', 0],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\nx: y\r\n\r\n', Number.POSITIVE_INFINITY],
  ])('%j leaves its connection good for %d ms', (sent, reusableMs) => {
    expect(readParts([Buffer.from(sent)], false)).toMatchObject({ progress: 'complete', reusableMs });
  });

  test.each([
    ['a chunk without a size', '\r\n'],
    ['a chunk of more than can be', '100000000\r\n'],
    ['a negative chunk', '-1\r\n'],
    ['a chunk with a sign', '+1\r\na\r\n'],
    ['a chunk in decimal point', '0x1\r\na\r\n'],
    ['a chunk that is longer than it says', '1\r\nab\r\n0\r\n\r\n'],
    ['a chunk line that ends without a carriage return', '1\na\r\n0\r\n\r\n'],
    ['a chunk line without end', `1;${'x'.repeat(300)}`],
    ['a trailer that is none', '0\r\nnonsense\r\n\r\n'],
    ['a length behind the body', '0\r\nContent-Length: 1\r\n\r\n'],
    ['a coding behind the body', '0\r\ntransfer-encoding: chunked\r\n\r\n'],
  ])('with %s is read no further, and keeps its status', (_, chunks) => {
    const sent = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks}`;
    const { progress, status, oddity, reusableMs } = readParts([Buffer.from(sent)], false);
    expect([progress, status, reusableMs]).toEqual(['protocol_error', 200, 0]);
    expect(oddity).toMatch(/^(chunk|trailer)_malformed$/);
  });

  test('with trailers beyond 16 KiB is read no further', () => {
    const sent = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n${'x: yyyyyyyyyy\r\n'.repeat(1600)}\r\n`;
    expect(readParts([Buffer.from(sent)], false)).toMatchObject({ status: 200, oddity: 'trailer_malformed', reusableMs: 0 });
  });
});

describe('beside the parser of Node', () => {
  let sending: Buffer = Buffer.alloc(0);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(sending));
  });
  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => server.close());

  async function readByNode(bytes: Buffer): Promise<{ status: number; body: string } | null> {
    sending = bytes;
    try {
      const asked = request({ port: (server.address() as AddressInfo).port, agent: false });
      // Also after the answer: what came behind it.
      asked.on('error', () => undefined).end();
      const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
      let read = '';
      for await (const part of response) read += (part as Buffer).toString('latin1');
      return { status: response.statusCode ?? 0, body: read };
    } catch {
      return null;
    }
  }

  test('well-formed answers are read alike', async () => {
    await fc.assert(
      fc.asyncProperty(answer, async (sent) => {
        const bytes = Buffer.from(sent, 'latin1');
        const { status, body: read } = readParts([bytes], true);
        expect(await readByNode(bytes)).toEqual({ status, body: read });
      }),
      { numRuns: 200 },
    );
  });

  test('what the parser of Node refuses or reads otherwise never leaves its connection for another answer', async () => {
    const odd = fc.constantFrom(
      '\0',
      '\n',
      '\r',
      ' ',
      '\r\n ',
      ':',
      '\x7f',
      'zz',
      'Content-Length: 1\r\n',
      'Transfer-Encoding: chunked\r\n',
      'HTTP/1.1 200 OK\r\n\r\n',
    );
    await fc.assert(
      fc.asyncProperty(answer, fc.nat(200), odd, async (sent, place, inserted) => {
        const at = place % (sent.length + 1);
        const bytes = Buffer.from(sent.slice(0, at) + inserted + sent.slice(at), 'latin1');
        const ours = readParts([bytes], true);
        const theirs = await readByNode(bytes);
        if (ours.progress === 'complete' && ours.reusableMs > 0)
          expect({ status: ours.status, body: ours.body }).toEqual(theirs);
        // No receiver is kept from a verdict that Node would have given.
        if (theirs !== null) expect(ours.status).toBe(theirs.status);
      }),
      { numRuns: 400 },
    );
  });
});
