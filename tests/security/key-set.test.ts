// The key server of JWT_JWKS_URL: slow, huge, broken or away, it costs a bounded time and memory, and no good token its caller.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ServiceError } from '../../src/domain/errors.ts';
import { TokenVerifier } from '../../src/security/tokens.ts';

const current = generateKeyPairSync('ed25519');
const closers: (() => unknown)[] = [];
let answer: (response: ServerResponse) => void;
let fetches: number;
let failures: unknown[];
let verifier: TokenVerifier;

beforeEach(async () => {
  fetches = 0;
  failures = [];
  answer = whole;
  const server = createServer((_, response) => {
    fetches += 1;
    answer(response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => (server.closeAllConnections(), server.close()));
  const jwksUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
  verifier = new TokenVerifier({ secret: '', expirationSeconds: 60, issuer: null, audience: null, jwksUrl }, (error) =>
    failures.push(error),
  );
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const keys = () => [{ ...current.publicKey.export({ format: 'jwk' }), kid: 'current', alg: 'EdDSA', use: 'sig' }];
const whole = (response: ServerResponse): void => void response.end(JSON.stringify({ keys: keys() }));
const broken = (response: ServerResponse): void => void response.writeHead(500).end('no');

let made = 0;
function token(kid: string, key: KeyObject = current.privateKey): string {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: 'user123', role: 'developer', iat: now, exp: now + 3600, jti: (made += 1) };
  const signed = `${encode({ alg: 'EdDSA', kid })}.${encode(claims)}`;
  return `Bearer ${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`;
}

const outcome = (kid: string): Promise<string> =>
  verifier.verify(token(kid)).then(
    ({ userId }) => userId,
    (error: unknown) => (error instanceof ServiceError ? `${error.code} ${error.reason}` : String(error)),
  );

/** From here on the test moves time; the network goes on. */
function stopTheClock(): (ms: number) => void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
  closers.push(() => vi.useRealTimers());
  return (ms) => vi.setSystemTime(Date.now() + ms);
}

const UNAVAILABLE = 'unavailable keys_unavailable';

test.each<[string, (response: ServerResponse) => void]>([
  ['answers 500', broken],
  ['closes the connection', (response) => void response.destroy()],
  ['redirects', (response) => void response.writeHead(302, { location: '/elsewhere' }).end()],
  ['answers no JSON', (response) => void response.end('<html>')],
  ['answers JSON that is no set of keys', (response) => void response.end('{"keys":5}')],
])('that %s: a good token is answered unavailable, with advice, and fetched for again only after a pause', async (_, broke) => {
  const pass = stopTheClock();
  answer = broke;
  await expect(verifier.verify(token('current'))).rejects.toMatchObject({ reason: 'keys_unavailable', retryAfterMs: 5000 });
  for (let i = 0; i < 20; i += 1) expect(await outcome('current')).toBe(UNAVAILABLE);
  expect(fetches).toBe(1);
  expect(failures).toHaveLength(1);
  pass(5001);
  expect(await outcome('current')).toBe(UNAVAILABLE);
  expect(fetches).toBe(2);
  // The second pause is longer; a server that is back is used after it.
  pass(5001);
  answer = whole;
  expect(await outcome('current')).toBe(UNAVAILABLE);
  pass(5001);
  expect(await outcome('current')).toBe('user123');
});

test('that answers without end is read no further than a mebibyte', async () => {
  let sent = 0;
  answer = (response) => {
    const chunk = Buffer.alloc(65_536, ' ');
    const write = (): void => {
      while (!response.destroyed && sent < 200_000_000) {
        sent += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', write);
      }
    };
    write();
  };
  expect(await outcome('current')).toBe(UNAVAILABLE);
  // What the kernel's buffers hold comes on top.
  expect(sent).toBeLessThan(20_000_000);
});

test('that hangs is waited for three seconds, by all callers together once', async () => {
  answer = () => {};
  const startedAt = performance.now();
  const outcomes = await Promise.all(Array.from({ length: 50 }, () => outcome('current')));
  expect(new Set(outcomes)).toEqual(new Set([UNAVAILABLE]));
  expect(fetches).toBe(1);
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});

test('keys that are known go on verifying while it is away, and unknown ones are answered unavailable', async () => {
  const pass = stopTheClock();
  expect(await outcome('current')).toBe('user123');
  answer = broken;
  pass(3_600_000);
  for (let i = 0; i < 5; i += 1) expect(await outcome('current')).toBe('user123');
  await vi.waitFor(() => expect(failures).toHaveLength(1));
  expect(await outcome('current')).toBe('user123');
  expect(await outcome('next')).toBe(UNAVAILABLE);
  expect(fetches).toBe(2);
});

test('a key that no key server has is refused, and fetched for twice a minute at most', async () => {
  const pass = stopTheClock();
  expect(await outcome('current')).toBe('user123');
  for (let i = 0; i < 20; i += 1) expect(await outcome(`made up ${i}`)).toBe('unauthenticated token_invalid');
  expect(fetches).toBe(1);
  pass(30_001);
  for (let i = 0; i < 20; i += 1) expect(await outcome(`made up ${i}`)).toBe('unauthenticated token_invalid');
  expect(fetches).toBe(2);
});
