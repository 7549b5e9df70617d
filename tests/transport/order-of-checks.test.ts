// Who calls is asked before anything is read: a caller without a token is refused by its headers alone, whatever it sends and however.
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createBodyBudget, Ledger } from '../../src/transport/body/body-budget.ts';
import { eventually } from '../fixtures/eventually.ts';
import { MAX_BATCH_BYTES, openListeners, verifyToken } from './listeners.ts';
import type { Listeners } from './listeners.ts';

const budget = {
  users: new Ledger(12_000_000, 4_000_000),
  strangers: createBodyBudget({ maxBatchBytes: MAX_BATCH_BYTES }).strangers,
};
let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners({ http: { bodyBudget: budget, limits: { leftoversMs: 300 } } });
});
afterAll(() => listeners.close());
beforeEach(() => {
  listeners.world.calls.length = 0;
  listeners.world.errors.length = 0;
});

const PUBLISH = '/homechef.webhook.v1.EventService/PublishEvent';
const STREAM = '/homechef.webhook.v1.EventService/PublishStream';
const WATCH = '/homechef.webhook.v1.DeliveryService/WatchDeliveries';
const BAD_PROTOBUF = Buffer.from([0x0a, 0x05, 0x61]);

interface Way {
  readonly name: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Bytes that are no message, as they are sent this way. */
  readonly malformed: Buffer;
}

function frame(bytes: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const type = (name: string) => ({ 'content-type': `application/${name}` });
const overHttp1: readonly Way[] = [
  { name: 'REST', path: '/api/v1/events', headers: type('json'), malformed: Buffer.from('{') },
  { name: 'Connect protobuf', path: PUBLISH, headers: type('proto'), malformed: BAD_PROTOBUF },
  { name: 'Connect JSON', path: PUBLISH, headers: type('json'), malformed: Buffer.from('{') },
  {
    name: 'Connect gzip',
    path: PUBLISH,
    headers: { ...type('proto'), 'content-encoding': 'gzip' },
    malformed: gzipSync(BAD_PROTOBUF),
  },
  {
    name: 'Connect gzip that is none',
    path: PUBLISH,
    headers: { ...type('proto'), 'content-encoding': 'gzip' },
    malformed: BAD_PROTOBUF,
  },
  { name: 'gRPC-Web', path: PUBLISH, headers: type('grpc-web+proto'), malformed: frame(BAD_PROTOBUF) },
  { name: 'gRPC-Web JSON', path: PUBLISH, headers: type('grpc-web+json'), malformed: frame(Buffer.from('{')) },
  { name: 'Connect stream', path: WATCH, headers: type('connect+proto'), malformed: frame(BAD_PROTOBUF) },
];
const overHttp2: readonly Way[] = [
  { name: 'gRPC', path: PUBLISH, headers: type('grpc'), malformed: frame(BAD_PROTOBUF) },
  { name: 'gRPC JSON', path: PUBLISH, headers: type('grpc+json'), malformed: frame(Buffer.from('{')) },
  {
    name: 'gRPC gzip',
    path: PUBLISH,
    headers: { ...type('grpc'), 'grpc-encoding': 'gzip' },
    malformed: frame(gzipSync(BAD_PROTOBUF), 1),
  },
  { name: 'gRPC stream of answers', path: WATCH, headers: type('grpc'), malformed: frame(BAD_PROTOBUF) },
  { name: 'gRPC stream both ways', path: STREAM, headers: type('grpc'), malformed: frame(BAD_PROTOBUF) },
  {
    name: 'gRPC gzip stream both ways',
    path: STREAM,
    headers: { ...type('grpc'), 'grpc-encoding': 'gzip' },
    malformed: frame(gzipSync(BAD_PROTOBUF), 1),
  },
];

/** Sends headers and some bytes of a body that goes on; gives all that came back until something closed. */
function sendHttp1({ path, headers }: Way, body: Buffer, more: { token?: string; isWhole?: boolean }): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const lines = Object.entries({ ...headers, ...authorization(more.token) }).map(([name, value]) => `${name}: ${value}\r\n`);
    const length = more.isWhole === true ? body.length : 1_000_000;
    const socket = connect(listeners.httpPort, '127.0.0.1');
    socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${lines.join('')}content-length: ${length}\r\n\r\n`);
    socket.write(body);
    socket.on('data', (piece) => (answer += piece.toString('latin1')));
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
  });
}

function sendHttp2({ path, headers }: Way, body: Buffer, more: { token?: string; isWhole?: boolean }): Promise<string> {
  return new Promise((resolve) => {
    const session = connectHttp2(listeners.grpcUrl);
    session.on('error', () => {});
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      te: 'trailers',
      ...headers,
      ...authorization(more.token),
    });
    let told = {};
    const hear = (headers_: object): void => void (told = { ...told, ...headers_ });
    stream.on('response', hear);
    stream.on('trailers', hear);
    stream.on('error', () => {});
    stream.on('close', () => {
      session.destroy();
      resolve(JSON.stringify(told));
    });
    stream.resume();
    if (more.isWhole === true) stream.end(body);
    else stream.write(body);
  });
}

function authorization(token: string | undefined): Record<string, string> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

const ways = [
  ...overHttp1.map((way) => ({ ...way, send: sendHttp1 })),
  ...overHttp2.map((way) => ({ ...way, send: sendHttp2 })),
];

test.each(ways)('$name: a caller without a token is refused before its body has come', async (way) => {
  const answer = await way.send(way, way.malformed.subarray(0, 3), {});
  expect(answer).toMatch(/401|grpc-status"?: ?"?16|unauthenticated/);
  await eventually(() => listeners.world.calls.length === 1);
  expect(listeners.world.calls[0]).toMatchObject({ code: 'unauthenticated', error: { reason: 'token_missing' } });
});

test.each(ways)('$name: bytes that are no message are the caller’s fault, reported and counted once', async (way) => {
  const token = way.path === WATCH ? 'developer:user123' : 'service:orders';
  const answer = await way.send(way, way.malformed, { token, isWhole: true });
  expect(answer).toMatch(/ 400 |grpc-status"?: ?"?3|invalid_argument/);
  await eventually(() => listeners.world.calls.length === 1);
  expect(listeners.world.calls[0]).toMatchObject({ code: 'invalid_argument', error: { reason: 'body_malformed' } });
  expect(listeners.world.errors).toEqual([]);
});

test.each(ways.filter(({ path }) => path !== WATCH))(
  '$name: a role that may not call learns that before its body is read',
  async (way) => {
    await way.send(way, way.malformed.subarray(0, 3), { token: 'developer:user123' });
    await eventually(() => listeners.world.calls.length === 1);
    expect(listeners.world.calls[0]).toMatchObject({ code: 'permission_denied' });
  },
);

test.each([
  ['REST', '/api/v1/events'],
  ['Connect', PUBLISH],
])('%s: a body in pieces of one byte is refused long before its end', async (_name, path) => {
  const socket = connect(listeners.httpPort, '127.0.0.1');
  let answer = '';
  socket.on('data', (piece) => (answer += piece.toString('latin1')));
  socket.on('error', () => {});
  const head =
    'host: x\r\nauthorization: Bearer service:orders\r\ncontent-type: application/json\r\ntransfer-encoding: chunked';
  socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n\r\n${'1\r\n \r\n'.repeat(5000)}`);
  await eventually(() => answer.includes('pieces that are too small'));
  await new Promise((resolve) => socket.once('close', resolve));
});

test.each([PUBLISH, STREAM])('gRPC: a body in pieces of one byte is refused long before its end: %s', async (path) => {
  const socket = connect(listeners.grpcPort, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  const headers = {
    ':path': path,
    ':authority': 'x',
    'content-type': 'application/grpc',
    authorization: 'Bearer service:orders',
  };
  const piece = http2Frame(0, 0, Buffer.from('x'));
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(Buffer.concat([http2Frame(4, 0, Buffer.alloc(0), 0), http2Frame(1, 4, headerBlock(headers))]));
  socket.write(http2Frame(0, 0, Buffer.from([0, 0, 1, 0, 0])));
  for (let n = 0; n < 3; n += 1) {
    socket.write(Buffer.concat(Array.from({ length: 6000 }, () => piece)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually(() => listeners.world.calls.length === 1);
  expect(listeners.world.calls[0]).toMatchObject({ code: 'invalid_argument', error: { reason: 'body_malformed' } });
  socket.destroy();
});

function http2Frame(kind: number, flags: number, payload: Buffer, stream = 1): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = kind;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** POST over http, and literal headers (RFC 7541, 6.2.2). */
function headerBlock(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const lines = Object.entries(headers).map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)]));
  return Buffer.concat([Buffer.from([0x83, 0x86]), ...lines]);
}

test('a body that is whole before its token is checked is read all the same', async () => {
  const slow = await openListeners({
    verifyToken: async (header) => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return verifyToken(header);
    },
  });
  for (const [path, key] of [
    ['/api/v1/events', 'event_type'],
    [PUBLISH, 'eventType'],
  ] as const) {
    const response = await fetch(`${slow.httpUrl}${path}`, {
      method: 'POST',
      headers: { ...type('json'), ...authorization('service:orders') },
      body: JSON.stringify({ [key]: 'order.created', data: { n: 1 }, audience: { broadcast: true } }),
    });
    expect(response.ok).toBe(true);
  }
  expect(slow.world.events).toHaveLength(2);
  await slow.close();
});

test('unfinished bodies of one user take that user’s share and no other user’s', async () => {
  const sessions = [connectHttp2(listeners.grpcUrl), connectHttp2(listeners.grpcUrl)] as const;
  for (const session of sessions) session.on('error', () => {});
  const upload = (session: ClientHttp2Session, token: string): { status: () => string } => {
    const stream = session.request({
      ':method': 'POST',
      ':path': PUBLISH,
      'content-type': 'application/grpc',
      ...authorization(token),
    });
    let status = '';
    stream.on('response', (headers) => (status = String(headers['grpc-status'])));
    stream.on('error', () => {});
    stream.write(Buffer.concat([frame(Buffer.alloc(1_000_000)).subarray(0, 5), Buffer.alloc(600_000)]));
    return { status: () => status };
  };
  const many = Array.from({ length: 8 }, () => upload(sessions[0], 'service:orders'));
  await eventually(() => many.some(({ status }) => status() === '8'));
  expect(listeners.world.calls.find(({ code }) => code === 'resource_exhausted')).toMatchObject({
    error: { reason: 'overloaded' },
  });
  expect(budget.users.heldBy('orders')).toBeLessThanOrEqual(4_000_000);
  const other = upload(sessions[1], 'service:others');
  await eventually(() => budget.users.heldBy('others') >= 600_000);
  expect(other.status()).toBe('');
  for (const session of sessions) session.destroy();
  await eventually(() => budget.users.total === 0 && budget.strangers.total === 0);
});
