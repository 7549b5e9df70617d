// What callers send to break a listener: each is answered and closed, and costs next to nothing.
import { once } from 'node:events';
import { connect as connectHttp2, constants } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { EVENT, MAX_MESSAGE_BYTES, openListeners, rest } from './listeners.ts';
import type { Listeners } from './listeners.ts';

let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners({
    http: { limits: { headersTimeoutMs: 300, requestTimeoutMs: 600, checkIntervalMs: 100, leftoversMs: 500 } },
    maxCallMs: 1000,
  });
});
afterAll(() => listeners.close());

const AUTHORIZATION = 'authorization: Bearer service:orders\r\n';
const JSON_TYPE = 'content-type: application/json\r\n';

/** Writes bytes to the HTTP/1.1 listener and gives everything that came back until it closed. */
function raw(text: string | readonly (string | Buffer)[], options: { keepSending?: string } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(listeners.httpPort, '127.0.0.1', () => {
      for (const part of typeof text === 'string' ? [text] : text) socket.write(part);
    });
    const timer = options.keepSending === undefined ? null : setInterval(() => socket.write(options.keepSending ?? ''), 50);
    socket.setTimeout(8000, () => {
      socket.destroy();
      reject(new Error(`still open after 8 s: ${answer}`));
    });
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    // What we write after the other side has closed fails, which is what is wanted.
    socket.on('error', () => {});
    socket.on('close', () => {
      if (timer !== null) clearInterval(timer);
      resolve(answer);
    });
  });
}

const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);

async function growthOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().rss;
  await work();
  return process.memoryUsage().rss - before;
}

async function stillServes(): Promise<void> {
  expect((await rest(listeners, 'POST', '/api/v1/events', { body: EVENT })).status).toBe(202);
}

test('a 20 MB body is refused by REST before it is read', async () => {
  const head = `POST /api/v1/events HTTP/1.1\r\nhost: x\r\n${AUTHORIZATION}${JSON_TYPE}content-length: 20000000\r\n\r\n`;
  const answer = await raw([head, Buffer.alloc(100_000, 0x20)]);
  expect(statusOf(answer)).toBe(413);
  expect(answer).toContain('"reason":"message_too_large"');
  await stillServes();
});

test('a chunked 20 MB body is refused by REST once it is over the limit', async () => {
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536, 0x20), Buffer.from('\r\n')]);
  const head = `POST /api/v1/events HTTP/1.1\r\nhost: x\r\n${AUTHORIZATION}${JSON_TYPE}transfer-encoding: chunked\r\n\r\n`;
  const growth = await growthOf(async () => {
    const answer = await raw([head, ...Array.from({ length: 305 }, () => chunk)]);
    // It may find the caller still sending, and then reaches it as a closed connection.
    if (answer !== '') expect(statusOf(answer)).toBe(413);
  });
  expect(growth).toBeLessThan(64 * 1024 * 1024);
  expect(listeners.world.events.filter((event) => event.data.length > 1_000_000)).toEqual([]);
});

test.each(['application/json', 'application/proto', 'application/grpc-web+proto'])(
  '20 MB of %s are refused by Connect',
  async (type) => {
    const response = await fetch(`${listeners.httpUrl}/homechef.webhook.v1.EventService/PublishEvent`, {
      method: 'POST',
      headers: { 'content-type': type, authorization: 'Bearer service:orders' },
      body: type.includes('grpc')
        ? Buffer.concat([Buffer.from([0, 1, 0x31, 0x2d, 0]), Buffer.alloc(20_000_000)])
        : Buffer.alloc(20_000_000, 0x20),
    }).catch((error: unknown) => error);
    // The answer may find the caller still sending, and then reaches it as a closed connection.
    if (response instanceof Response) {
      const text = await response.text();
      expect(response.status === 400 || text.includes('grpc-status: 3')).toBe(true);
    }
    expect(listeners.world.events.filter((event) => event.data.length > 1_000_000)).toEqual([]);
    await stillServes();
  },
);

test('a bomb of 300 kB that unfolds to 300 MB is refused by Connect while it unfolds', async () => {
  const bomb = gzipSync(Buffer.alloc(300_000_000, 0x20), { level: 9 });
  expect(bomb.length).toBeLessThan(310_000);
  const growth = await growthOf(async () => {
    const response = await fetch(`${listeners.httpUrl}/homechef.webhook.v1.EventService/PublishEvent`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip', authorization: 'Bearer service:orders' },
      body: bomb,
    });
    expect(((await response.json()) as { code: string }).code).toBe('invalid_argument');
  });
  expect(growth).toBeLessThan(64 * 1024 * 1024);
});

test.each(['[', '{"a":'])('100,000 levels of %s are refused before they are parsed', async (open) => {
  const { status, json } = await rest(listeners, 'POST', '/api/v1/events', { body: open.repeat(100_000) });
  expect([status, json.error.reason]).toEqual([400, 'payload_too_deep']);
});

test('brackets inside strings are no depth', async () => {
  const body = { ...EVENT, data: { text: '[[{{"\\'.repeat(1000) } };
  expect((await rest(listeners, 'POST', '/api/v1/events', { body })).status).toBe(202);
});

test.each([
  ['both Content-Length and Transfer-Encoding', 'content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two Content-Lengths', 'content-length: 2\r\ncontent-length: 3\r\n\r\n{}'],
  ['a Content-Length that is no number', 'content-length: +2\r\n\r\n{}'],
  ['an unknown Transfer-Encoding', 'transfer-encoding: xchunked\r\n\r\n{}'],
  ['a header without a name', ': x\r\n\r\n'],
  ['a bare CR', 'x-a: b\rc\r\n\r\n'],
])('a request with %s is refused and the connection closed', async (_name, rest_) => {
  const answer = await raw(
    `POST /api/v1/events HTTP/1.1\r\nhost: x\r\n${JSON_TYPE}${rest_}GET /livez HTTP/1.1\r\nhost: x\r\n\r\n`,
  );
  expect(statusOf(answer)).toBe(400);
  expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(answer).toContain('"reason":"body_malformed"');
});

test.each(['a b', '[', 'x:99999', ''])('the Host "%s" is refused at every protocol', async (host) => {
  for (const path of ['/api/v1/events', '/homechef.webhook.v1.EventService/PublishEvent']) {
    const answer = await raw(
      `POST ${path} HTTP/1.1\r\nhost: ${host}\r\n${AUTHORIZATION}${JSON_TYPE}connection: close\r\ncontent-length: 2\r\n\r\n{}`,
    );
    expect(statusOf(answer)).toBe(400);
  }
});

test('headers over 16 KiB are answered 431', async () => {
  const answer = await raw(`GET /livez HTTP/1.1\r\nhost: x\r\nx-flood: ${'x'.repeat(20_000)}\r\n\r\n`);
  expect(statusOf(answer)).toBe(431);
});

test('headers that never end are answered 408', async () => {
  expect(statusOf(await raw('GET /livez HTTP/1.1\r\nhost: x\r\n', { keepSending: 'x-a: b\r\n' }))).toBe(408);
});

test('a body that drips is answered 408', async () => {
  const head = `POST /api/v1/events HTTP/1.1\r\nhost: x\r\n${AUTHORIZATION}${JSON_TYPE}content-length: 1000\r\n\r\n{`;
  expect(statusOf(await raw(head, { keepSending: ' ' }))).toBe(408);
});

test('a call over its time is answered, whether or not the code below listens', async () => {
  const { publish } = listeners.world;
  listeners.world.publish = () => new Promise(() => {});
  const startedMs = performance.now();
  const { status, json } = await rest(listeners, 'POST', '/api/v1/events', { body: EVENT });
  expect([status, json.error.reason]).toEqual([504, 'deadline_exceeded']);
  expect(performance.now() - startedMs).toBeLessThan(2000);
  listeners.world.publish = publish;
});

test('a deadline of days is refused, not turned into one of a millisecond', async () => {
  const response = await fetch(`${listeners.httpUrl}/homechef.webhook.v1.EventService/PublishEvent`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'connect-timeout-ms': '9999999999', authorization: 'Bearer service:orders' },
    body: '{}',
  });
  expect(((await response.json()) as { code: string }).code).toBe('invalid_argument');
});

function session(): Promise<ClientHttp2Session> {
  return new Promise((resolve) => {
    const client = connectHttp2(listeners.grpcUrl);
    client.on('error', () => {});
    client.once('remoteSettings', () => resolve(client));
  });
}

function grpcHeaders(path = '/homechef.webhook.v1.EventService/PublishEvent', more: Record<string, string> = {}) {
  return {
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: 'Bearer service:orders',
    ...more,
  };
}

/** One call with the given bytes: its gRPC status, or the HTTP/2 error that ended it. */
function call(
  client: ClientHttp2Session,
  headers: Record<string, string>,
  body: Buffer,
): Promise<{ status: string; trailers: Record<string, unknown> }> {
  return new Promise((resolve) => {
    const stream = client.request(headers);
    let told: Record<string, unknown> = {};
    stream.on('response', (response) => (told = { ...told, ...response }));
    stream.on('trailers', (trailers) => (told = { ...told, ...trailers }));
    stream.on('error', () => {});
    stream.on('close', () =>
      resolve({ status: (told['grpc-status'] as string | undefined) ?? `rst ${stream.rstCode}`, trailers: told }),
    );
    stream.resume();
    stream.end(body);
  });
}

test('gRPC sends its limits to every client', async () => {
  const client = await session();
  expect(client.remoteSettings).toMatchObject({ maxConcurrentStreams: 256, maxHeaderListSize: 16_384 });
  client.destroy();
});

test('a message over the limit has a reason, and a code that no client repeats, over gRPC too', async () => {
  const client = await session();
  const frame = Buffer.alloc(5 + MAX_MESSAGE_BYTES + 1);
  frame.writeUInt32BE(MAX_MESSAGE_BYTES + 1, 1);
  const { status, trailers } = await call(client, grpcHeaders(), frame);
  expect(status).toBe('3');
  expect(Buffer.from(String(trailers['grpc-status-details-bin']), 'base64').toString('latin1')).toContain('message_too_large');
  client.destroy();
});

test('a gRPC message that never ends is cut off', async () => {
  const client = await session();
  const stream = client.request(grpcHeaders());
  stream.on('error', () => {});
  stream.write(Buffer.from([0, 0, 0, 0, 100, 1, 2, 3]));
  await new Promise((resolve) => stream.on('close', resolve));
  expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
  client.destroy();
});

test('an :authority that makes no URL ends its own call and nothing else', async () => {
  const client = await session();
  const { status } = await call(client, grpcHeaders(undefined, { ':authority': 'a b' }), Buffer.alloc(5));
  expect(status).toBe(`rst ${constants.NGHTTP2_PROTOCOL_ERROR}`);
  client.destroy();
  const other = await session();
  expect((await call(other, grpcHeaders(), Buffer.alloc(5))).status).toBe('3');
  other.destroy();
});

test('an unknown RPC is unimplemented', async () => {
  const client = await session();
  expect((await call(client, grpcHeaders('/homechef.webhook.v1.EventService/Nothing'), Buffer.alloc(5))).status).toBe('12');
  expect(
    (await call(client, grpcHeaders('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'), Buffer.alloc(5))).status,
  ).toBe('12');
  client.destroy();
});

test('resets, pings and a thousand streams leave another connection answering', async () => {
  const attacker = await session();
  const closed = new Promise((resolve) => attacker.once('close', resolve));
  for (let i = 0; i < 20_000 && !attacker.destroyed; i += 1) {
    const stream = attacker.request(grpcHeaders());
    stream.on('error', () => {});
    stream.close(constants.NGHTTP2_CANCEL);
    if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const crowd = await session();
  for (let i = 0; i < 1000; i += 1) crowd.request(grpcHeaders()).on('error', () => {});
  const other = await session();
  const startedMs = performance.now();
  expect((await call(other, grpcHeaders(), Buffer.alloc(5))).status).toBe('3');
  expect(performance.now() - startedMs).toBeLessThan(5000);
  attacker.destroy();
  await closed;
  crowd.destroy();
  other.destroy();
  await eventually(async () => (await rest(listeners, 'GET', '/livez')).status === 200);
});

test('a caller who cancels all the calls of a connection at once keeps it, and may do so again', async () => {
  const client = await session();
  // Known by a first call. The others never end by themselves.
  expect((await call(client, grpcHeaders(), Buffer.alloc(5))).status).toBe('3');
  const watch = grpcHeaders('/homechef.webhook.v1.DeliveryService/WatchDeliveries');
  for (let round = 0; round < 2; round += 1) {
    const calls = await Promise.all(
      Array.from({ length: 256 }, async () => {
        const stream = client.request(watch);
        stream.on('error', () => {});
        stream.end(Buffer.alloc(5));
        await once(stream, 'response');
        return stream;
      }),
    );
    const closed = calls.map((stream) => new Promise((resolve) => stream.once('close', resolve)));
    for (const stream of calls) stream.close(constants.NGHTTP2_CANCEL);
    await Promise.all(closed);
    expect((await call(client, grpcHeaders(), Buffer.alloc(5))).status).toBe('3');
  }
  expect(client.destroyed).toBe(false);
  client.destroy();
});

test('a stranger whose calls are refused a hundred times at once keeps the connection', async () => {
  const client = await session();
  const headers = grpcHeaders(undefined, { authorization: 'Bearer nobody' });
  const responses = await Promise.all(Array.from({ length: 100 }, () => call(client, headers, Buffer.alloc(70_000))));
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set(['16']));
  expect(client.destroyed).toBe(false);
  client.destroy();
});

test.each([
  ['a stranger', { authorization: 'Bearer nobody' }],
  ['a known caller', {}],
])('%s who resets 100 streams before they are calls loses the connection', async (_name, headers) => {
  const client = await session();
  await call(client, grpcHeaders(undefined, headers), Buffer.alloc(5));
  const closed = new Promise((resolve) => client.once('close', resolve));
  for (let i = 0; i < 100; i += 1) {
    const stream = client.request(grpcHeaders(undefined, headers));
    stream.on('error', () => {});
    stream.close(constants.NGHTTP2_CANCEL);
  }
  await closed;
});

test('a connection beyond what a listener may have is closed, over either, and those before it go on', async () => {
  const few = await openListeners({ http: { limits: { maxConnections: 2 } } });
  try {
    for (const port of [few.httpPort, few.grpcPort]) {
      const closed: number[] = [];
      const sockets = await Promise.all(
        [0, 1, 2].map(async (n) => {
          const socket = connect(port, '127.0.0.1');
          socket.on('error', () => {}).on('close', () => closed.push(n));
          await once(socket, 'connect');
          return socket;
        }),
      );
      await eventually(() => closed.length > 0, { what: 'the last connection closed' });
      expect(closed).toHaveLength(1);
      for (const socket of sockets) socket.destroy();
    }
  } finally {
    await few.close(0);
  }
});
