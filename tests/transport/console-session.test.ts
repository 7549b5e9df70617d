// The console's session at the wire: which cookie is set, for whom, and when it speaks.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';

const LIST = '/homechef.webhook.v1.WebhookService/ListWebhooks';
const OWN = { 'x-homechef-console': '1', 'content-type': 'application/json' };

let service: TestApp;
let token: string;

beforeAll(async () => {
  service = await startApp({ env: { TRUST_PROXY: '127.0.0.1' } });
  token = await service.token('user123');
});
afterAll(() => service?.close());

const call = (method: string, path: string, headers: Record<string, string>, body?: object) =>
  fetch(service.http + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
const signIn = (headers: Record<string, string>, with_: object = { token }) => call('POST', '/console/session', headers, with_);

test('a sign-in keeps the token from scripts, other sites and other hosts, until it ends', async () => {
  const reply = await signIn(OWN);
  expect(reply.status).toBe(200);
  const body = (await reply.json()) as { user_id: string; role: string; expires_at: string };
  expect(body).toMatchObject({ user_id: 'user123', role: 'developer' });
  expect(JSON.stringify(body)).not.toContain(token);
  const cookie = reply.headers.get('set-cookie') ?? '';
  expect(cookie).toMatch(/^homechef-session=eyJ[^;]+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
  const maxAgeMs = Number(/Max-Age=(\d+)/.exec(cookie)?.[1]) * 1000;
  expect(Math.abs(Date.now() + maxAgeMs - Date.parse(body.expires_at))).toBeLessThan(10_000);
});

test('over TLS the cookie is one that browsers send over TLS alone, and take from this host alone', async () => {
  const secure = { ...OWN, 'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.7' };
  const cookie = (await signIn(secure)).headers.get('set-cookie') ?? '';
  expect(cookie).toMatch(/^__Host-homechef-session=.*; Path=\/;.*; Secure$/);
  const [pair = ''] = cookie.split(';');
  expect((await call('POST', LIST, { ...secure, cookie: pair }, {})).status).toBe(200);
  // Planted by a page of a sibling host, or over plain HTTP.
  expect((await call('POST', LIST, { ...secure, cookie: `homechef-session=${token}` }, {})).status).toBe(401);
});

test('the cookie speaks for requests of the console alone', async () => {
  const cookie = `theme=dark; homechef-session=${token}`;
  expect((await call('POST', LIST, { ...OWN, cookie }, {})).status).toBe(200);
  expect((await call('POST', LIST, { ...OWN, cookie, 'sec-fetch-site': 'same-origin' }, {})).status).toBe(200);
  for (const site of ['cross-site', 'same-site', 'none'])
    expect((await call('POST', LIST, { ...OWN, cookie, 'sec-fetch-site': site }, {})).status).toBe(401);
  expect((await call('POST', LIST, { 'content-type': 'application/json', cookie }, {})).status).toBe(401);
  expect((await call('GET', '/api/v1/webhooks', { ...OWN, cookie })).status).toBe(401);
  // A header of its own is what a request says, whatever else it carries.
  expect((await call('POST', LIST, { ...OWN, cookie, authorization: 'Bearer x' }, {})).status).toBe(401);
});

test('no other site signs a reader in or out', async () => {
  for (const headers of [{ 'content-type': 'application/json' }, { ...OWN, 'sec-fetch-site': 'cross-site' }]) {
    for (const reply of [await signIn(headers), await call('DELETE', '/console/session', headers)]) {
      expect([reply.status, reply.headers.get('set-cookie')]).toEqual([403, null]);
    }
  }
});

test('a sign-out ends the cookie', async () => {
  const { 'content-type': _, ...headers } = OWN;
  const reply = await call('DELETE', '/console/session', headers);
  expect([reply.status, reply.headers.get('set-cookie')]).toEqual([
    204,
    'homechef-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict',
  ]);
});

test('what is no token of this service is refused with its reason, and sets nothing', async () => {
  const cases = [
    [{}, 400, 'field_invalid'],
    [{ token: 7 }, 400, 'field_invalid'],
    [{ token: 'eyJ.eyJ.x' }, 401, 'token_invalid'],
    [{ token: `${token.slice(0, -4)}AAAA` }, 401, 'token_invalid'],
    [{ token: 'x'.repeat(20_000) }, 413, 'message_too_large'],
  ] as const;
  for (const [body, status, reason] of cases) {
    const reply = await signIn(OWN, body);
    const { error } = (await reply.json()) as { error: { reason: string } };
    expect([reply.status, error.reason, reply.headers.get('set-cookie')]).toEqual([status, reason, null]);
  }
});
