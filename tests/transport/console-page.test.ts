// How the console is served: complete, small, cacheable for ever where it never changes, and under a policy that allows only itself.
import { readdirSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import Fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildConsole } from '../../console/build.ts';
import { consolePage } from '../../src/transport/pages/console-page.ts';
import { tryReceiver } from '../../src/transport/pages/try-receiver.ts';
import { openSocket } from '../realtime/watching.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';

/** A phone on a slow network has the whole console in about a second. */
const MAX_COMPRESSED_BYTES = 150_000;

const built = fileURLToPath(new URL('../../dist/console', import.meta.url));

let development: TestApp;
let production: TestApp;

beforeAll(async () => {
  await buildConsole({ force: false });
  development = await startApp({ env: { ENVIRONMENT: 'development' } });
  production = await startApp({
    env: {
      ENVIRONMENT: 'production',
      DB_HOST: 'replaced-by-the-test',
      JWT_SECRET: 'Kq3vR8sT1wXyZ5aB7cD9eF2gH4jM6nP0',
      WEBHOOK_SECRET_KEYS: `k1:${Buffer.from(Array.from({ length: 32 }, (_, index) => (index * 7 + 3) % 256)).toString('base64')}`,
      WEBHOOK_LEASE: '8',
      WEBHOOK_SIGNATURE_HEADER: 'X-Other-Signature',
    },
  });
});

afterAll(async () => {
  await development?.close();
  await production?.close();
});

test('every page of the console is the page', async () => {
  for (const path of [
    '/',
    '/live',
    '/webhooks',
    '/webhooks/new',
    '/webhooks/webhook_x',
    '/deliveries?status=failed',
    '/event-types',
    '/verify',
  ]) {
    const answer = await get(development, path);
    expect({ path, status: answer.status }).toEqual({ path, status: 200 });
    expect(answer.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(answer.body.toString()).toContain('<div id="root">');
  }
});

const navigation = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-mode': 'navigate' };

test('a reader who follows a link to nowhere gets the console with 404, which no cache keeps', async () => {
  for (const headers of [navigation, { accept: 'text/html' }]) {
    const { status, headers: sent, body } = await get(production, '/webhooks/a/b/c?d', headers);
    expect([status, sent['content-type'], sent['cache-control']]).toEqual([404, 'text/html; charset=utf-8', 'no-store']);
    expect(sent['content-security-policy']).toContain("script-src 'self'");
    expect(body.toString()).toContain('<div id="root">');
  }
});

test.each([
  ['a program', '/nope', {}],
  ['a program that takes anything', '/nope', { accept: '*/*' }],
  ['a script of a page', '/nope', { ...navigation, 'sec-fetch-mode': 'cors' }],
  ['a browser at a path of the API', '/api/v1/nope', navigation],
  ['a browser at a file that is gone', '/assets/nope.js', navigation],
  ['a browser at a call', '/homechef.webhook.v1.Nope/Nope', navigation],
])('%s gets an ordinary 404', async (_who, path, headers) => {
  const { status, body } = await get(development, path, headers);
  expect([status, JSON.parse(body.toString()).error.reason]).toEqual([404, 'route_not_found']);
});

test('the policy allows this origin alone, and the page has nothing inline that would need more', async () => {
  const { headers, body } = await get(production, '/');
  const policy = String(headers['content-security-policy']);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toMatch(/unsafe|data:|https?:|\*/);
  expect(body.toString()).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\son\w+=|style=/);
});

test('the page says where it is and which signature header is in use', async () => {
  expect((await get(development, '/')).body.toString()).toContain('content="X-HomeChef-Signature"');
  const html = (await get(production, '/')).body.toString();
  expect(html).toContain('name="homechef-environment" content="production"');
  expect(html).toContain('content="X-Other-Signature"');
});

test('hashed assets are kept for ever, the page is asked for again and answered with 304 while it is the same', async () => {
  for (const path of assetPaths()) {
    const { headers } = await get(development, path);
    expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
  }
  const page = await get(development, '/');
  expect(page.headers['cache-control']).toBe('no-cache');
  const again = await get(development, '/live', { 'if-none-match': String(page.headers['etag']) });
  expect(again.status).toBe(304);
  expect(again.body.length).toBe(0);
});

test('every compressed variant holds the plain bytes, and a coding refused with q=0 is not sent', async () => {
  for (const path of ['/', ...assetPaths().filter((each) => !each.endsWith('.woff2'))]) {
    const plain = await get(development, path);
    expect(plain.headers['content-encoding']).toBeUndefined();
    const br = await get(development, path, { 'accept-encoding': 'gzip, br' });
    expect(br.headers['content-encoding']).toBe('br');
    expect(brotliDecompressSync(br.body)).toEqual(plain.body);
    const gzip = await get(development, path, { 'accept-encoding': 'gzip;q=0.5, br;q=0' });
    expect(gzip.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(gzip.body)).toEqual(plain.body);
  }
});

test('everything together is at most 150 kB as it travels', async () => {
  let total = 0;
  for (const path of ['/', '/mark.svg', ...assetPaths()]) {
    total += (await get(development, path, { 'accept-encoding': 'br' })).body.length;
  }
  expect(total).toBeGreaterThan(50_000);
  expect(total).toBeLessThanOrEqual(MAX_COMPRESSED_BYTES);
});

describe('the one-click sign-in', () => {
  test('hands out a token that the service takes, in development', async () => {
    const answer = await get(development, '/console/dev-token?role=developer');
    expect(answer.headers['cache-control']).toBe('no-store');
    const { token } = JSON.parse(answer.body.toString()) as { token: string };
    const list = await get(development, '/api/v1/webhooks', { authorization: `Bearer ${token}` });
    expect(list.status).toBe(200);
  });

  test('is for this machine alone', async () => {
    const page = Fastify();
    await page.register(consolePage(development.config));
    const ask = (remoteAddress: string) => page.inject({ url: '/console/dev-token?role=admin', remoteAddress });
    expect((await ask('127.0.0.1')).statusCode).toBe(200);
    expect((await ask('::ffff:127.0.0.1')).statusCode).toBe(200);
    expect((await ask('192.0.2.7')).body).not.toContain('token":');
    expect((await ask('1270.0.0.1')).body).not.toContain('token":');
    await page.close();
  });

  test.each(['evil.example', 'evil.example:8080', 'localhost.evil.example', '127.0.0.1.evil.example'])(
    'is not for a page of %s that points its name here',
    async (host) => {
      const page = Fastify();
      await page.register(consolePage(development.config));
      const ask = (name: string) => page.inject({ url: '/console/dev-token?role=admin', headers: { host: name } });
      expect((await ask(host)).body).not.toContain('token":');
      for (const own of ['localhost:8080', 'console.localhost', '127.0.0.1:8080', '[::1]:8080']) {
        expect((await ask(own)).statusCode).toBe(200);
      }
      await page.close();
    },
  );

  test('neither is the WebSocket without a token', async () => {
    const open = (host: string) =>
      openSocket(development.http, '?user_id=user123', [], { headers: { host }, origin: `http://${host}` });
    // Its own origin, so the page learns why in the words of a WebSocket.
    expect(await open('evil.example').closed).toMatchObject({ code: 1008, reason: 'role_not_allowed' });
    const own = open(new URL(development.http).host);
    expect(await own.refused).toBeUndefined();
    own.socket.terminate();
  });

  test('does not exist anywhere else', async () => {
    expect((await get(production, '/console/dev-token?role=developer')).status).toBe(404);
  });

  test('refuses other sites and roles that are none', async () => {
    const foreign = await get(development, '/console/dev-token?role=admin', { 'sec-fetch-site': 'cross-site' });
    expect(foreign.status).toBe(403);
    expect((await get(development, '/console/dev-token?role=root')).status).toBe(400);
  });
});

describe('the receiver for a first try', () => {
  const post = (to: TestApp) =>
    fetch(`${to.http}/try`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json', 'x-homechef-event': 'order.created' },
    });

  test('takes what is sent to it in development, and does not exist anywhere else', async () => {
    const taken = await post(development);
    expect([taken.status, await taken.json()]).toEqual([200, { received: 'order.created' }]);
    expect((await post(production)).status).toBe(404);
  });

  test('is for this machine alone', async () => {
    const page = Fastify();
    await page.register(tryReceiver({ environment: 'development' }));
    const ask = (remoteAddress: string) => page.inject({ method: 'POST', url: '/try', remoteAddress });
    expect((await ask('127.0.0.1')).body).toContain('received');
    expect((await ask('192.0.2.7')).body).not.toContain('received');
    await page.close();
  });
});

function assetPaths(): string[] {
  return readdirSync(`${built}/assets`)
    .filter((name) => !/\.(br|gz)$/.test(name))
    .map((name) => `/assets/${name}`);
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Unlike fetch, asks for no coding of its own and decodes none. */
function get(app: TestApp, path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(app.http + path, { headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });
}
