// The WebSocket: who gets in, what a client may send, and how it ends.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mintToken } from '../../src/security/tokens.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { restClient } from '../fixtures/rest.ts';
import { bearer, openSocket, watchStream } from '../realtime/watching.ts';

const CAP = 5;

let service: TestApp;
let token: string;

beforeAll(async () => {
  service = await startApp({
    env: { CORS_ORIGINS: 'https://console.example', MAX_WATCHERS_PER_USER: String(CAP), TRUST_PROXY: '1' },
  });
  token = await service.token('user123');
});
afterAll(() => service.close());

const secureOrigin = (): string => service.http.replace('http:', 'https:');

const noWatchers = async (): Promise<boolean> => {
  const admin = await service.as('root', 'admin');
  return (await admin('GET', '/ws/status')).body.watchers === 0;
};

describe('who gets in', () => {
  test.each([
    ['a token in the header', () => openSocket(service.http, '', [], { headers: { authorization: `Bearer ${token}` } })],
    ['a token as a subprotocol', () => openSocket(service.http, '?user_id=user123&user_type=developer', bearer(token))],
    ['an allowed origin', () => openSocket(service.http, '', bearer(token), { origin: 'https://console.example' })],
    ['its own origin', () => openSocket(service.http, '', bearer(token), { origin: service.http })],
    [
      'its own origin, where a proxy ends TLS',
      () => openSocket(service.http, '', bearer(token), { origin: secureOrigin(), headers: { 'x-forwarded-proto': 'https' } }),
    ],
  ])('%s', async (_, open) => {
    const socket = open();
    expect(await socket.refused).toBeUndefined();
    await eventually(() => socket.messages[0]?.type === 'heartbeat');
    socket.socket.close();
    await eventually(noWatchers);
  });

  test('a browser is answered with the subprotocol, never with its token', async () => {
    const socket = openSocket(service.http, '', bearer(token));
    expect(await socket.refused).toBeUndefined();
    expect(socket.socket.protocol).toBe('homechef.v1');
    socket.socket.close();
    await socket.closed;
  });

  test.each<[string, number, () => ReturnType<typeof openSocket>]>([
    ['no token', 401, () => openSocket(service.http, '?user_id=user123&user_type=developer')],
    ['a token in the query', 401, () => openSocket(service.http, `?token=${token}`)],
    ['a token in a cookie', 401, () => openSocket(service.http, '', [], { headers: { cookie: `token=${token}` } })],
    ['a token that is none', 401, () => openSocket(service.http, '', bearer('x.y.z'))],
    ['a stranger’s page', 403, () => openSocket(service.http, '', bearer(token), { origin: 'https://evil.example' })],
    [
      'almost an allowed origin',
      403,
      () => openSocket(service.http, '', bearer(token), { origin: 'https://console.example.evil' }),
    ],
    [
      'its own origin without TLS, where a proxy ends it',
      403,
      () => openSocket(service.http, '', bearer(token), { origin: service.http, headers: { 'x-forwarded-proto': 'https' } }),
    ],
    [
      'its own origin with TLS, where there is none',
      403,
      () => openSocket(service.http, '', bearer(token), { origin: secureOrigin() }),
    ],
    ['the origin of a file', 403, () => openSocket(service.http, '', bearer(token), { origin: 'null' })],
  ])('not %s: %i', async (_, status, open) => {
    expect(await open().refused).toBe(status);
    await eventually(noWatchers);
  });

  test.each([
    ['?after=yesterday', 'cursor_invalid'],
    ['?status=lost', 'field_invalid'],
    ['?webhook_id=no-id', 'field_invalid'],
    ['?user_id=user456', 'role_not_allowed'],
    ['?user_type=cook', 'field_invalid'],
    ['?statsu=failed', 'field_unknown'],
    ['?event_id=a&event_id=b', 'field_invalid'],
    ['?status=%ff', 'body_malformed'],
  ])('a known caller with %s gets the reason: an error, and a close with code 1008 and the reason', async (query, reason) => {
    const { refused, closed, messages } = openSocket(service.http, query, bearer(token));
    expect(await refused).toBeUndefined();
    expect(await closed).toMatchObject({ code: 1008, reason });
    const [{ error }] = messages as unknown as [{ error: { request_id: string; details: { field: string }[] } }];
    expect(error.request_id).toMatch(/^[\w-]{8,}$/);
    if (reason !== 'body_malformed') expect(error.details[0]?.field).toBe(/\?(\w+)/.exec(query)?.[1]);
    await eventually(noWatchers);
  });

  test('a page gets with a close what other clients get with a status: browsers show it nothing else', async () => {
    const page = { origin: 'https://console.example' };
    for (const protocols of [[], bearer('x.y.z')]) {
      const { refused, closed } = openSocket(service.http, '', protocols, page);
      expect(await refused).toBeUndefined();
      const reason = protocols.length === 0 ? 'token_missing' : 'token_invalid';
      expect(await closed).toMatchObject({ code: 4401, reason });
    }
    const sockets = Array.from({ length: CAP }, () => openSocket(service.http, '', bearer(token), page));
    expect(await Promise.all(sockets.map(({ refused }) => refused))).toEqual(Array(CAP).fill(undefined));
    const { closed } = openSocket(service.http, '', bearer(token), page);
    expect(await closed).toMatchObject({ code: 1013, reason: 'watcher_limit_reached' });
    for (const { socket } of sockets) socket.terminate();
    await eventually(noWatchers);
  });

  test('a stranger with a bad cursor is a stranger', async () => {
    expect(await openSocket(service.http, '?after=yesterday', []).refused).toBe(401);
  });

  test('not more connections of one user than the limit: 429, until one is closed', async () => {
    const sockets = Array.from({ length: CAP }, () => openSocket(service.http, '', bearer(token)));
    expect(await Promise.all(sockets.map(({ refused }) => refused))).toEqual(Array(CAP).fill(undefined));
    expect(await openSocket(service.http, '', bearer(token)).refused).toBe(429);
    const other = openSocket(service.http, '', bearer(await service.token('user456')));
    expect(await other.refused).toBeUndefined();
    sockets[0]?.socket.close();
    await sockets[0]?.closed;
    const again = await eventually(async () => {
      const socket = openSocket(service.http, '', bearer(token));
      return (await socket.refused) === undefined ? socket : null;
    });
    for (const { socket } of [...sockets, other, again]) socket.terminate();
    await eventually(noWatchers);
  });

  test('an upgrade that is not for a WebSocket is an ordinary request', async () => {
    // As some HTTP clients try by default. The connection goes on in HTTP/1.1, with the next request.
    const upgrade = 'GET /livez HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n';
    expect(await rawRequest(upgrade, 'GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n')).toMatch(/^HTTP\/1.1 404 /);
    expect(await rawRequest('GET /ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')).toMatch(/^HTTP\/1.1 426 /);
  });

  test('a handshake that breaks off leaves no watcher behind', async () => {
    await rawRequest(
      `GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: short\r\nsec-websocket-version: 13\r\nauthorization: Bearer ${token}\r\n\r\n`,
    );
    await eventually(noWatchers);
  });

  /** The answer to the last of these requests, each sent when the one before was answered. */
  function rawRequest(...requests: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(Number(new URL(service.http).port), '127.0.0.1', () => socket.write(requests.shift() ?? ''));
      socket.on('data', (data) => {
        const next = requests.shift();
        if (next !== undefined) return socket.write(next);
        resolve(data.toString());
        return socket.destroy();
      });
      socket.once('error', reject);
    });
  }
});

describe('what a client may send', () => {
  async function open(): Promise<ReturnType<typeof openSocket>> {
    const socket = openSocket(service.http, '', bearer(token));
    expect(await socket.refused).toBeUndefined();
    return socket;
  }

  test('a message over 64 KiB closes with 1009, binary with 1003, a flood with 1008', async () => {
    const [large, binary, flood] = [await open(), await open(), await open()];
    large.send('x'.repeat(64 * 1024 + 1));
    expect((await large.closed).code).toBe(1009);
    binary.socket.send(randomBytes(10));
    expect((await binary.closed).code).toBe(1003);
    for (let n = 0; n < 50; n += 1) flood.send({ type: 'ping' });
    expect((await flood.closed).code).toBe(1008);
  });

  test('a message in more than 64 pieces closes the connection', async () => {
    const socket = await open();
    for (let n = 0; n < 70; n += 1) socket.socket.send('x', { fin: n === 69 });
    expect([1006, 1008]).toContain((await socket.closed).code);
    await eventually(noWatchers);
  });

  test.each([
    ['no JSON', '{', 'body_malformed'],
    ['an array', '[]', 'body_malformed'],
    ['JSON that is too deep', '['.repeat(1000), 'payload_too_deep'],
    ['an unknown type', '{"type":"unsubscribe"}', 'field_invalid'],
    ['an id that is none', '{"type":"subscribe","webhook_ids":["x"]}', 'field_invalid'],
    ['an unknown field', '{"type":"subscribe","webhook":"x"}', 'field_unknown'],
    ['a cursor that is none', '{"type":"subscribe","after":"x"}', 'cursor_invalid'],
  ])('%s is answered with an error, and the connection stays', async (_, text, reason) => {
    const socket = await open();
    socket.send(text);
    await eventually(() => socket.messages.find(({ type }) => type === 'error')?.error.reason === reason);
    socket.send({ type: 'subscribe' });
    await eventually(() => socket.messages.some(({ type }) => type === 'subscribed'));
    socket.socket.close();
    await socket.closed;
  });
});

describe('how it ends', () => {
  test('when the token expires: 4401, and a stream with unauthenticated', async () => {
    const tokens = { ...service.config.tokens, expirationSeconds: 3 };
    const short = await mintToken(tokens, { user: 'user123', role: 'developer' });
    const openedAt = performance.now();
    const socket = openSocket(service.http, '', bearer(short));
    const streams = [service.grpc, service.http].map((address) => watchStream(address, short));
    expect((await socket.closed).code).toBe(4401);
    for (const stream of streams) expect(String(await stream.ended)).toMatch(/unauthenticated/);
    expect(performance.now() - openedAt).toBeGreaterThan(1500);
    expect(performance.now() - openedAt).toBeLessThan(3000 + 5000);
    await eventually(noWatchers);
  });

  test('at shutdown: 1001, and a stream with unavailable', async () => {
    const stopped = await startApp();
    const ownToken = await stopped.token('user123');
    const socket = openSocket(stopped.http, '', bearer(ownToken));
    const streams = [stopped.grpc, stopped.http].map((address) => watchStream(address, ownToken));
    await eventually(() => [socket, ...streams].every(({ messages }) => messages.length > 0));
    const startedAt = performance.now();
    await stopped.close();
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect((await socket.closed).code).toBe(1001);
    for (const stream of streams) expect(String(await stream.ended)).toMatch(/unavailable/);
  });
});

test('the status shows a developer their own figures, an admin all users’, a stranger none', async () => {
  await eventually(noWatchers);
  const mine = openSocket(service.http, '', bearer(token));
  const theirs = openSocket(service.http, '', bearer(await service.token('user456')));
  await Promise.all([mine.refused, theirs.refused]);
  const status = async (bearerToken: string | null) => restClient(service.http, bearerToken)('GET', '/ws/status');
  expect((await status(token)).body).toMatchObject({ connections: 1, watchers: 1, buffered: 0, dropped: 0 });
  expect((await status(await service.token('root', 'admin'))).body).toMatchObject({ connections: 2, watchers: 2 });
  expect((await status(await service.token('nobody'))).body).toMatchObject({ connections: 0, watchers: 0 });
  expect((await status(null)).status).toBe(401);
  mine.socket.close();
  theirs.socket.close();
});

describe('in development without a token', () => {
  let development: TestApp;
  beforeAll(async () => {
    development = await startApp({ env: { ENVIRONMENT: 'development' } });
  });
  afterAll(() => development.close());

  test('the documented URL stands alone; without a user, with a stranger’s page or with a token in the query it does not', async () => {
    const socket = openSocket(development.http, '?user_id=user123&user_type=developer');
    expect(await socket.refused).toBeUndefined();
    await eventually(() => socket.messages.length > 0);
    expect(await openSocket(development.http, '').refused).toBe(401);
    expect(await openSocket(development.http, '?user_id=user123&token=x').refused).toBe(401);
    expect(await openSocket(development.http, '?user_id=user123', [], { origin: 'https://evil.example' }).refused).toBe(403);
    socket.socket.close();
  });
});
