// The outbound client against receivers that answer well, badly, slowly, endlessly, or not at all.
import { afterEach, describe, expect, it } from 'vitest';
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { Outcome } from '../../src/domain/delivery.ts';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient, type PostRequest } from '../../src/outbound/http-client.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { eventually } from '../fixtures/eventually.ts';
import { begun } from '../delivery/begun.ts';
import { rawReceiver, socketReceiver, type RawReceiver } from './raw-receiver.ts';

const policy = new EgressPolicy({
  environment: 'development',
  egress: { allowedCidrs: ['127.0.0.0/8', '::1/128'], allowHttp: true },
});
/** How much later than its deadline an attempt may end. */
const SLACK_MS = 700;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function newClient(options: { maxSockets?: number } = {}): HttpClient {
  const client = new HttpClient({ policy, ...options });
  cleanups.push(() => client.close());
  return client;
}

async function receiver(answer: string | Buffer | ((socket: Socket, number: number) => void)): Promise<RawReceiver> {
  const made = await rawReceiver((socket, request) => {
    if (typeof answer === 'function') answer(socket, request.number);
    else socket.write(answer);
  });
  cleanups.push(() => made.close());
  return made;
}

async function accepting(accept: (socket: Socket) => void): Promise<RawReceiver> {
  const made = await socketReceiver(accept);
  cleanups.push(() => made.close());
  return made;
}

function post(client: HttpClient, url: string, more: Partial<PostRequest> = {}): Promise<Outcome> {
  const headers = headerLines({ 'content-type': 'application/json' });
  return begun(client.post({ url, headers, body: Buffer.from('{}'), timeoutMs: 5000, ...more }));
}

function answerOf(status: number | string, headers: Record<string, string> = {}, body = 'ok'): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Whatever\r\n${lines.join('')}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

describe('a request', () => {
  it('is a POST with the headers given, one Host that matches the URL, and the exact length in bytes', async () => {
    const target = await receiver(answerOf(200));
    const body = Buffer.from('{"dish":"Crème brûlée 🍮"}');
    const outcome = await post(newClient(), `${target.url}?a=b%20c`, {
      body,
      headers: headerLines({ 'Content-Type': 'application/json', 'x-one': '1' }),
    });
    expect(outcome.error).toBeNull();
    const [request] = target.requests;
    expect(request?.body).toEqual(body);
    expect(request?.head.split('\r\n').toSorted()).toEqual(
      [
        'POST /hook?a=b%20c HTTP/1.1',
        `host: 127.0.0.1:${target.port}`,
        'connection: keep-alive',
        'Content-Type: application/json',
        'x-one: 1',
        `content-length: ${body.length}`,
      ].toSorted(),
    );
  });

  it('that has not left yet is not answered by what comes unasked', async () => {
    const sockets: Socket[] = [];
    const target = await receiver((socket) => {
      sockets.push(socket);
      socket.write(answerOf(sockets.length === 1 ? 200 : 418));
    });
    const client = newClient();
    expect((await post(client, target.url)).httpStatus).toBe(200);
    // From here the next step of the event loop reads sockets, and only the one after it lets requests leave.
    const outcome = await new Promise<Outcome>((resolve) => {
      setImmediate(() => {
        sockets[0]?.write(answerOf(200));
        resolve(post(client, target.url));
      });
    });
    expect(outcome.httpStatus).toBe(418);
    expect(target.requests).toHaveLength(2);
  });

  it('ignores a proxy named in the environment', async () => {
    const target = await receiver(answerOf(200));
    const before = { ...process.env };
    Object.assign(process.env, { HTTP_PROXY: 'http://127.0.0.1:1', http_proxy: 'http://127.0.0.1:1', NODE_USE_ENV_PROXY: '1' });
    cleanups.push(() => (process.env = before));
    expect((await post(newClient(), target.url)).error).toBeNull();
  });

  it.each([{ 'x-bad': 'a\r\nHost: evil' }, { 'bad name': 'x' }, { 'x-bad': '€' }, { 'transfer-encoding': 'chunked' }])(
    'with the header %j is never sent, and is an outcome all the same',
    async (headers) => {
      const target = await receiver(answerOf(200));
      expect((await post(newClient(), target.url, { headers: headerLines(headers) })).error).toBe('protocol_error');
      expect(target.requests).toEqual([]);
    },
  );

  it.each([
    ['url_invalid', 'x'],
    ['url_invalid', 'ftp://127.0.0.1/'],
    ['url_invalid', 'http://user@127.0.0.1/'],
    ['ssrf_blocked', 'http://10.0.0.1/'],
    ['ssrf_blocked', 'http://169.254.169.254/'],
    ['ssrf_blocked', 'http://[::ffff:169.254.169.254]/'],
    ['ssrf_blocked', 'http://2852039166/'],
  ])('ends as %s for the stored URL %s', async (error, url) => {
    const client = newClient();
    expect(await post(client, url)).toMatchObject({ error, httpStatus: null, response: null, responseTruncated: false });
    expect(client.sockets).toBe(0);
  });
});

describe('an answer', () => {
  it.each([
    [200, null],
    [201, null],
    [202, null],
    [299, null],
    [300, 'redirect_not_followed'],
    [304, 'http_status'],
    [399, 'redirect_not_followed'],
    [400, 'http_status'],
    [404, 'http_status'],
    [410, 'http_status'],
    [500, 'http_status'],
    [599, 'http_status'],
    [999, 'http_status'],
  ])('of status %i is the outcome %s', async (status, error) => {
    const target = await receiver(status === 304 ? 'HTTP/1.1 304 Not Modified\r\n\r\n' : answerOf(status));
    const outcome = await post(newClient(), target.url);
    expect(outcome).toMatchObject({
      httpStatus: status,
      error,
      response: status === 304 ? '' : 'ok',
      responseTruncated: false,
      retryAfterMs: null,
    });
    expect(outcome.startedAtMs).toBeGreaterThan(Date.now() - 5000);
    expect(outcome.durationMs).toBeLessThan(5000);
  });

  it('204 without a body is delivered with an empty response', async () => {
    const target = await receiver('HTTP/1.1 204 No Content\r\n\r\n');
    expect(await post(newClient(), target.url)).toMatchObject({
      httpStatus: 204,
      error: null,
      response: '',
      responseTruncated: false,
    });
  });

  it.each([301, 302, 303, 307, 308])('%i is not followed', async (status) => {
    const second = await receiver(answerOf(200));
    const target = await receiver(answerOf(status, { location: second.url }));
    expect((await post(newClient(), target.url)).error).toBe('redirect_not_followed');
    expect(second.connections()).toBe(0);
  });

  it('after 103 Early Hints is the one that counts', async () => {
    const target = await receiver(
      `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${answerOf(201)}`,
    );
    expect(await post(newClient(), target.url)).toMatchObject({ httpStatus: 201, error: null, response: 'ok' });
  });

  it('after any number of 1xx, up to a thousand, is the one that counts', async () => {
    const early = ['100 Continue', '102 Processing', '103 Early Hints', '199 Whatever'].map(
      (line) => `HTTP/1.1 ${line}\r\n\r\n`,
    );
    const target = await receiver(early.join('').repeat(249) + answerOf(201));
    const client = newClient();
    expect(await post(client, target.url)).toMatchObject({ httpStatus: 201, error: null, responseOddity: null });
    expect(await post(client, target.url)).toMatchObject({ httpStatus: 201 });
    expect(target.connections()).toBe(1);
  });

  it.each([
    [429, '120', 120_000],
    [503, '0', 0],
    [503, ' 7 ', 7000],
    [429, '9999999999', 86_400_000],
    [429, 'Wed, 21 Oct 2015 07:28:00 GMT', 0],
    [429, '-5', null],
    [429, '1.5', null],
    [429, '1e3', null],
    [503, 'soon', null],
    [503, '', null],
    [500, '120', null],
    [404, '120', null],
    [200, '120', null],
    [302, '120', null],
  ])('%i with Retry-After %j asks for %s ms', async (status, value, retryAfterMs) => {
    const target = await receiver(answerOf(status, { 'Retry-After': value }));
    expect((await post(newClient(), target.url)).retryAfterMs).toBe(retryAfterMs);
  });

  it('429 with an HTTP-date asks for the time until then', async () => {
    const target = await receiver(answerOf(429, { 'Retry-After': new Date(Date.now() + 60_000).toUTCString() }));
    const { retryAfterMs } = await post(newClient(), target.url);
    expect(retryAfterMs).toBeGreaterThan(55_000);
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
  });

  it('429 with two Retry-After asks for nothing in particular', async () => {
    const target = await receiver('HTTP/1.1 429 X\r\nretry-after: 1\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n');
    expect((await post(newClient(), target.url)).retryAfterMs).toBeNull();
  });
});

describe('the body of an answer', () => {
  it('is kept whole up to 16 KiB, and cut there beyond', async () => {
    const whole = await receiver(answerOf(200, {}, 'x'.repeat(16_384)));
    expect(await post(newClient(), whole.url)).toMatchObject({ response: 'x'.repeat(16_384), responseTruncated: false });
    const more = await receiver(answerOf(500, {}, 'x'.repeat(16_385)));
    expect(await post(newClient(), more.url)).toMatchObject({
      response: 'x'.repeat(16_384),
      responseTruncated: true,
      error: 'http_status',
    });
  });

  it('is not cut inside a character', async () => {
    const target = await receiver(answerOf(200, {}, `x${'é'.repeat(10_000)}`));
    const { response } = await post(newClient(), target.url);
    expect(response).toBe(`x${'é'.repeat(8191)}`);
  });

  it('holds U+FFFD for what is not UTF-8, and no NUL, which PostgreSQL cannot store', async () => {
    const target = await receiver(
      Buffer.concat([
        Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\na'),
        Buffer.from([0, 0xff, 0, 0xc3]),
        Buffer.from('bc'),
      ]),
    );
    expect((await post(newClient(), target.url)).response).toBe('a\ufffd\ufffdbc');
  });

  it('is read from chunks, and to the end of the connection where no length is given', async () => {
    const chunked = await receiver('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n');
    expect(await post(newClient(), chunked.url)).toMatchObject({ response: 'abcde', responseTruncated: false, error: null });
    const unframed = await receiver((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nabcde'));
    expect(await post(newClient(), unframed.url)).toMatchObject({ response: 'abcde', responseTruncated: false, error: null });
  });

  it('is not decompressed', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    const target = await receiver((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
      socket.write(bomb);
    });
    const outcome = await post(newClient(), target.url);
    expect(outcome).toMatchObject({ error: null, responseTruncated: true });
    expect(outcome.response?.length).toBeLessThanOrEqual(16_384);
  });

  it.each([
    ['cut short', (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc')],
    ['cut short in a chunk', (socket: Socket) => socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nabc')],
    [
      'of bad chunks',
      (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n'),
    ],
    [
      'reset',
      (socket: Socket) => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc', () => setTimeout(() => socket.resetAndDestroy(), 50));
      },
    ],
  ])('that is %s leaves a 2xx delivered', async (_, answer) => {
    const target = await receiver(answer);
    expect(await post(newClient(), target.url)).toMatchObject({
      httpStatus: 200,
      error: null,
      response: 'abc',
      responseTruncated: true,
    });
    expect(target.requests).toHaveLength(1);
  });

  it('whose headers drip is waited for a second, and leaves a 2xx delivered', async () => {
    const target = await receiver((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      const drip = setInterval(() => socket.write('x'), 20);
      socket.once('close', () => clearInterval(drip));
    });
    const client = newClient();
    const outcome = await post(client, target.url);
    expect(outcome).toMatchObject({
      httpStatus: 200,
      error: null,
      responseOddity: 'headers_incomplete',
      responseTruncated: true,
    });
    expect(outcome.durationMs).toBeLessThan(1000 + SLACK_MS);
    await eventually(() => client.sockets === 0, { what: 'the socket closed' });
  });

  it('that never comes is waited for a second, and leaves a 2xx delivered', async () => {
    const target = await receiver((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc'));
    const outcome = await post(newClient(), target.url);
    expect(outcome).toMatchObject({ httpStatus: 200, error: null, response: 'abc', responseTruncated: true });
    expect(outcome.durationMs).toBeGreaterThanOrEqual(990);
    expect(outcome.durationMs).toBeLessThan(1000 + SLACK_MS);
  });

  it('that drips for ever is listened to for a second, or until the deadline where that is earlier', async () => {
    const target = await receiver((socket) => {
      socket.write('HTTP/1.1 500 Oops\r\ncontent-length: 100000\r\n\r\n');
      const drip = setInterval(() => socket.write('x'), 20);
      socket.once('close', () => clearInterval(drip));
    });
    const client = newClient();
    const patient = await post(client, target.url);
    expect(patient).toMatchObject({ error: 'http_status', responseTruncated: true });
    expect(patient.durationMs).toBeLessThan(1000 + SLACK_MS);
    const hasty = await post(client, target.url, { timeoutMs: 300 });
    expect(hasty).toMatchObject({ error: 'http_status', responseTruncated: true });
    expect(hasty.durationMs).toBeLessThan(300 + SLACK_MS);
    expect(client.inFlight).toBe(0);
  });

  it('without end is left after 64 KiB and the socket closed', async () => {
    let written = 0;
    const target = await receiver((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n');
      const block = `10000\r\n${'x'.repeat(65_536)}\r\n`;
      const pump = () => {
        while (!socket.destroyed && socket.write(block)) written += 65_536;
      };
      socket.on('drain', () => {
        written += 65_536;
        pump();
      });
      pump();
    });
    const client = newClient();
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => post(client, target.url)));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ error: null, responseTruncated: true, response: 'x'.repeat(16_384) });
      expect(outcome.durationMs).toBeLessThan(2000);
    }
    await eventually(() => client.sockets === 0, { what: 'every socket closed' });
    expect(written / 20).toBeLessThan(8_000_000);
  });
});

describe('the deadline', () => {
  const drip = (text: string, everyMs: number) => (socket: Socket) => {
    let at = 0;
    const timer = setInterval(() => {
      socket.write(text[at % text.length] ?? '');
      at += 1;
    }, everyMs);
    socket.once('close', () => clearInterval(timer));
  };

  it.each<[string, (socket: Socket) => void]>([
    ['never answers', () => {}],
    ['drips a status line', drip(`HTTP/1.1 200 ${'y'.repeat(1000)}`, 10)],
    [
      'floods with 103 Early Hints',
      (socket) => {
        const hint = 'HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n'.repeat(100);
        const pump = () => {
          while (!socket.destroyed && socket.write(hint));
        };
        socket.on('drain', pump);
        pump();
      },
    ],
  ])('holds when the receiver %s', async (_, answer) => {
    const target = await receiver(answer);
    const client = newClient();
    const outcome = await post(client, target.url, { timeoutMs: 500 });
    expect(outcome).toMatchObject({ error: 'timeout', httpStatus: null, response: null });
    expect(outcome.durationMs).toBeGreaterThanOrEqual(490);
    expect(outcome.durationMs).toBeLessThan(500 + SLACK_MS);
    await eventually(() => client.sockets === 0, { what: 'the socket closed' });
  });

  it('holds when the receiver does not read the request', async () => {
    const target = await accepting((socket) => socket.pause());
    const outcome = await post(newClient(), target.url, { timeoutMs: 500, body: Buffer.alloc(16_000_000, 'x') });
    expect(outcome.error).toBe('timeout');
    expect(outcome.durationMs).toBeLessThan(500 + SLACK_MS);
  });

  it('of one request does not touch another on the same origin', async () => {
    const target = await rawReceiver((socket, { body }) => {
      if (body.toString() === 'answer') setTimeout(() => socket.write(answerOf(200)), 600);
    });
    cleanups.push(() => target.close());
    const client = newClient();
    const [hung, answered] = await Promise.all([
      post(client, target.url, { timeoutMs: 300 }),
      post(client, target.url, { body: Buffer.from('answer') }),
    ]);
    expect([hung.error, answered.error]).toEqual(['timeout', null]);
  });
});

describe('a malformed answer', () => {
  const answers: [string, string | Buffer, string][] = [
    ['status 000', 'HTTP/1.1 000 Zero\r\ncontent-length: 0\r\n\r\n', 'protocol_error'],
    ['status 099', 'HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n', 'protocol_error'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'protocol_error'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', 'protocol_error'],
    ['a negative status', 'HTTP/1.1 -200 OK\r\n\r\n', 'protocol_error'],
    ['no status', 'HTTP/1.1\r\n\r\n', 'protocol_error'],
    ['no version', 'HTTP 200 OK\r\n\r\n', 'protocol_error'],
    ['version 9.9', 'HTTP/9.9 200 OK\r\n\r\n', 'protocol_error'],
    ['HTTP/2 as text', 'HTTP/2 200\r\n\r\n', 'protocol_error'],
    ['an HTTP/2 preface', Buffer.from('000012040000000000', 'hex'), 'protocol_error'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.9\r\n', 'protocol_error'],
    ['a mail server', '220 mail.example ESMTP\r\n', 'protocol_error'],
    ['a Redis error', '-ERR unknown command\r\n', 'protocol_error'],
    ['a request', 'GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'protocol_error'],
    ['zeros', Buffer.alloc(1000), 'protocol_error'],
    ['noise', Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 167 + 89) % 256)), 'protocol_error'],
    ['a status line of 1 MB', `HTTP/1.1 200 ${'x'.repeat(1_000_000)}\r\n\r\n`, 'response_headers_too_large'],
    [
      'an early answer with headers of 17 KB',
      `HTTP/1.1 103 Early\r\n${'x: yyyyyyyyyy\r\n'.repeat(1600)}\r\n`,
      'response_headers_too_large',
    ],
  ];

  it.each(answers)('with %s is an outcome, and nothing else suffers', async (_, answer, error) => {
    const target = await receiver((socket) => socket.end(answer));
    const healthy = await receiver(answerOf(200));
    const client = newClient();
    expect(await post(client, target.url)).toMatchObject({ error, httpStatus: null, response: null, responseTruncated: false });
    expect(target.requests).toHaveLength(1);
    expect((await post(client, healthy.url)).error).toBeNull();
    await eventually(() => client.sockets === 1, { what: 'the bad socket closed' });
  });

  it.each(answers)('with %s after a good one on the same connection is an outcome too', async (_, answer, error) => {
    const target = await receiver((socket, number) => (number === 1 ? socket.write(answerOf(200)) : socket.end(answer)));
    const client = newClient();
    expect((await post(client, target.url)).error).toBeNull();
    expect((await post(client, target.url)).error).toBe(error);
    expect(target.connections()).toBe(1);
  });

  it.each([
    ['nothing', ''],
    ['half a status line', 'HTTP/1.1 2'],
    ['an answer before the answer', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ])('of %s, and then the end, is a reset connection', async (_, answer) => {
    const ended = await receiver((socket) => socket.end(answer));
    expect(await post(newClient(), ended.url)).toMatchObject({ error: 'connection_reset', httpStatus: null });
    const reset = await receiver(
      (socket) =>
        void (answer === ''
          ? socket.resetAndDestroy()
          : socket.write(answer, () => setTimeout(() => socket.resetAndDestroy(), 20))),
    );
    expect(await post(newClient(), reset.url)).toMatchObject({ error: 'connection_reset', httpStatus: null });
  });

  it('that comes before the request is not taken for its answer a second time', async () => {
    const target = await receiver((socket) => socket.write(answerOf(200) + answerOf(201, {}, 'unasked')));
    const client = newClient();
    expect(await post(client, target.url)).toMatchObject({ httpStatus: 200, response: 'ok' });
    expect(await post(client, target.url)).toMatchObject({ httpStatus: 200, response: 'ok' });
  });
});

describe('a connection', () => {
  it('is used again while it is open', async () => {
    const target = await receiver(answerOf(200));
    const client = newClient();
    for (let i = 0; i < 10; i += 1) expect((await post(client, target.url)).error).toBeNull();
    expect(target.connections()).toBe(1);
  });

  it('is not used again after "Connection: close"', async () => {
    const target = await receiver((socket) => socket.write(answerOf(200, { connection: 'close' })));
    const client = newClient();
    for (let i = 0; i < 3; i += 1) expect((await post(client, target.url)).error).toBeNull();
    expect(target.connections()).toBe(3);
    await eventually(() => client.sockets === 0, { what: 'closed sockets counted out' });
  });

  it('that the receiver closed as the next request came costs no failure: the request is sent again, once', async () => {
    const target = await receiver((socket, number) => (number === 1 ? socket.write(answerOf(200)) : socket.destroy()));
    const client = newClient();
    expect((await post(client, target.url)).error).toBeNull();
    expect((await post(client, target.url)).error).toBeNull();
    expect(target.requests.map((request) => request.number)).toEqual([1, 2, 1]);
  });

  it('is given up when the second, fresh one is closed as well', async () => {
    let first = true;
    const target = await receiver((socket) => {
      if (first) socket.write(answerOf(200));
      else socket.destroy();
      first = false;
    });
    const client = newClient();
    expect((await post(client, target.url)).error).toBeNull();
    expect((await post(client, target.url)).error).toBe('connection_reset');
    expect(target.requests).toHaveLength(3);
    expect(target.connections()).toBe(2);
  });

  it('that closed after the first byte of an answer is not replaced: the receiver had the request', async () => {
    const target = await receiver((socket, number) => (number === 1 ? socket.write(answerOf(200)) : socket.end('H')));
    const client = newClient();
    expect((await post(client, target.url)).error).toBeNull();
    expect((await post(client, target.url)).error).toBe('connection_reset');
    expect(target.requests).toHaveLength(2);
  });

  it('that was never used before is not replaced', async () => {
    const target = await receiver((socket) => socket.destroy());
    expect((await post(newClient(), target.url)).error).toBe('connection_reset');
    expect(target.requests).toHaveLength(1);
  });

  it('is closed after four idle seconds', async () => {
    const target = await receiver(answerOf(200));
    const client = newClient();
    await post(client, target.url);
    const idleSince = performance.now();
    expect(client.sockets).toBe(1);
    await eventually(() => client.sockets === 0, { what: 'the idle socket closed' });
    expect(performance.now() - idleSince).toBeLessThan(4500);
    expect(performance.now() - idleSince).toBeGreaterThan(3000);
  });

  it('makes room for another when there are as many as there may be', async () => {
    const targets = await Promise.all(Array.from({ length: 12 }, () => receiver(answerOf(200))));
    const client = newClient({ maxSockets: 4 });
    for (const target of targets) {
      expect((await post(client, target.url)).error).toBeNull();
      await eventually(() => client.sockets <= 4, { what: 'no more sockets than allowed' });
    }
  });

  it('to a closed port is refused', async () => {
    const target = await receiver(answerOf(200));
    await target.close();
    cleanups.pop();
    expect(await post(newClient(), target.url)).toMatchObject({ error: 'connection_refused', httpStatus: null });
  });

  it('goes to localhost by either family', async () => {
    const v4 = await receiver(answerOf(200));
    const v6 = await rawReceiver((socket) => socket.write(answerOf(201)), '::1');
    cleanups.push(() => v6.close());
    const client = newClient();
    expect((await post(client, `http://localhost:${v4.port}/`)).httpStatus).toBe(200);
    expect((await post(client, `http://localhost:${v6.port}/`)).httpStatus).toBe(201);
    expect((await post(client, `http://[::1]:${v6.port}/`)).httpStatus).toBe(201);
  });
});

describe('a shutdown', () => {
  it('ends what is in flight at once, with one signal for all', async () => {
    const target = await receiver(() => {});
    const client = newClient();
    const stop = new AbortController();
    const other = new AbortController();
    const stopped = Array.from({ length: 50 }, () => post(client, target.url, { signal: stop.signal }));
    const going = post(client, target.url, { signal: other.signal, timeoutMs: 1000 });
    await eventually(() => target.requests.length === 51);
    stop.abort();
    const outcomes = await Promise.all(stopped);
    expect(new Set(outcomes.map((outcome) => outcome.error))).toEqual(new Set(['shutdown']));
    expect(client.inFlight).toBe(1);
    expect((await going).error).toBe('timeout');
    expect((await post(client, target.url, { signal: stop.signal })).error).toBe('shutdown');
    await eventually(() => client.sockets === 0);
  });

  it('does not undo an answer whose headers came', async () => {
    const target = await receiver((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc'));
    const client = newClient();
    const stop = new AbortController();
    const sent = post(client, target.url, { signal: stop.signal });
    await eventually(() => target.requests.length === 1);
    // A whole exchange later the headers, which were sent before it began, have come.
    expect((await post(client, (await receiver(answerOf(200))).url)).error).toBeNull();
    stop.abort();
    expect(await sent).toMatchObject({ error: null, httpStatus: 200, responseTruncated: true });
  });

  it('by close() ends everything and leaves no socket', async () => {
    const target = await receiver((socket, number) => void (number === 1 && socket.write(answerOf(200))));
    const client = newClient();
    await post(client, target.url);
    const hung = post(client, target.url);
    await eventually(() => target.requests.length === 2);
    client.close();
    expect((await hung).error).toBe('shutdown');
    await eventually(() => client.sockets === 0);
  });
});
