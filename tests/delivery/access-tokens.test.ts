// The life of access tokens in one process, and what each answer of a token server comes to.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AccessTokens, type TokenHolder } from '../../src/delivery/access-tokens.ts';
import { oauthClient } from '../../src/delivery/oauth-client.ts';
import { createTokenRequest, type TokenAnswer } from '../../src/delivery/token-request.ts';
import type { NotBegun, Outcome } from '../../src/domain/delivery.ts';
import type { PostRequest } from '../../src/outbound/http-client.ts';

const settings = { token_url: 'https://id.example/token', client_id: 'till', scope: 'write', audience: 'https://till.example' };
const holder: TokenHolder = {
  webhookId: 'webhook_1',
  tenant: 'alice',
  timeoutMs: 2000,
  oauth: oauthClient(settings, 's3cret'),
};
const responded = (httpStatus: number, response: string): Outcome => ({
  startedAtMs: 1,
  durationMs: 5,
  httpStatus,
  response,
  responseTruncated: false,
  responseOddity: null,
  error: httpStatus === 200 ? null : 'http_status',
  retryAfterMs: null,
  transcript: {
    requestHeaders: 'host: token.example',
    responseHeaders: 'x: y',
    remoteAddress: '192.88.99.1',
    tlsVersion: 'TLSv1.3',
  },
});
const failure: Outcome = { ...responded(500, ''), httpStatus: null, error: 'oauth_token_unavailable' };

beforeEach(() => vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => vi.useRealTimers());

/** A token server whose answers come when the test says so. */
function tokensOf() {
  const answers: ((answer: TokenAnswer) => void)[] = [];
  const tokens = new AccessTokens(() => new Promise((resolve) => answers.push(resolve)));
  return {
    tokens,
    get asked() {
      return answers.length;
    },
    async answer(answer: TokenAnswer) {
      answers.at(-1)?.(answer);
      await new Promise(setImmediate);
    },
    /** With a first token of 100 s. */
    async begun() {
      const first = tokens.get(holder);
      await this.answer({ token: 'first', lifetimeMs: 100_000 });
      expect(await first).toBe('first');
      return this;
    },
  };
}

test('all who want a token while one is asked for get that one', async () => {
  const server = tokensOf();
  const wanted = [server.tokens.get(holder), server.tokens.get(holder), server.tokens.renew(holder)];
  await server.answer({ token: 'one', lifetimeMs: 100_000 });
  expect(await Promise.all(wanted)).toEqual(['one', 'one', { token: 'one', lifetimeMs: 100_000 }]);
  expect(server.asked).toBe(1);
});

test('a token is renewed before it ends, beside the deliveries that still use it, and is not used up to its end', async () => {
  const server = await tokensOf().begun();
  vi.advanceTimersByTime(79_000);
  expect(await server.tokens.get(holder)).toBe('first');
  expect(server.asked).toBe(1);
  vi.advanceTimersByTime(2000);
  expect([await server.tokens.get(holder), await server.tokens.get(holder)]).toEqual(['first', 'first']);
  expect(server.asked).toBe(2);
  await server.answer(failure);
  vi.advanceTimersByTime(5000);
  expect(await server.tokens.get(holder)).toBe('first');
  await server.answer({ token: 'second', lifetimeMs: 100_000 });
  expect(await server.tokens.get(holder)).toBe('second');
  expect(server.asked).toBe(3);
});

test('without a token that is good, a delivery waits for one', async () => {
  const server = await tokensOf().begun();
  vi.advanceTimersByTime(96_000);
  const wanted = server.tokens.get(holder);
  await server.answer({ token: 'second', lifetimeMs: 100_000 });
  expect(await wanted).toBe('second');
});

test('a token server that fails is asked once a second for a webhook, and a want of our own is not remembered', async () => {
  const server = tokensOf();
  const first = server.tokens.get(holder);
  await server.answer(failure);
  expect(await first).toEqual(failure);
  expect(await server.tokens.get(holder)).toMatchObject({ error: 'oauth_token_unavailable', durationMs: 0 });
  expect(server.asked).toBe(1);
  vi.advanceTimersByTime(1001);
  const second = server.tokens.get(holder);
  await server.answer({ shortage: 'places' });
  expect(await second).toEqual({ shortage: 'places' });
  void server.tokens.get(holder);
  expect(server.asked).toBe(3);
});

test('a token that was refused is dropped once a minute, and never the one that came in its place', async () => {
  const server = await tokensOf().begun();
  server.tokens.drop(holder.webhookId, 'first');
  const wanted = server.tokens.get(holder);
  await server.answer({ token: 'second', lifetimeMs: 1_000_000 });
  expect(await wanted).toBe('second');
  server.tokens.drop(holder.webhookId, 'first');
  server.tokens.drop(holder.webhookId, 'second');
  expect(await server.tokens.get(holder)).toBe('second');
  vi.advanceTimersByTime(60_001);
  server.tokens.drop(holder.webhookId, 'second');
  void server.tokens.get(holder);
  expect(server.asked).toBe(3);
});

test('a token that was got with other settings is not used', async () => {
  const server = await tokensOf().begun();
  for (const changed of [oauthClient(settings, 'other'), oauthClient({ ...settings, scope: 'read' }, 's3cret')])
    void server.tokens.get({ ...holder, oauth: changed });
  expect(server.asked).toBe(3);
});

const answers: [string, Outcome | NotBegun, object][] = [
  [
    'a token',
    responded(200, '{"access_token":"a.b-c_~+/=","token_type":"bearer","expires_in":60}'),
    { token: 'a.b-c_~+/=', lifetimeMs: 60_000 },
  ],
  ['a lifetime as a string', responded(200, '{"access_token":"a","expires_in":"60"}'), { token: 'a', lifetimeMs: 60_000 }],
  ['no lifetime', responded(200, '{"access_token":"a"}'), { token: 'a', lifetimeMs: 300_000 }],
  ['a lifetime without end', responded(200, '{"access_token":"a","expires_in":1e300}'), { token: 'a', lifetimeMs: 86_400_000 }],
  ['a lifetime that is over', responded(200, '{"access_token":"a","expires_in":-1}'), { token: 'a', lifetimeMs: 0 }],
  ['a token of another kind', responded(200, '{"access_token":"a","token_type":"mac"}'), { error: 'oauth_token_unavailable' }],
  [
    'a token that breaks a header',
    responded(200, String.raw`{"access_token":"a\r\nx: y"}`),
    { error: 'oauth_token_unavailable' },
  ],
  ['a token that is too long', responded(200, `{"access_token":"${'a'.repeat(8193)}"}`), { error: 'oauth_token_unavailable' }],
  [
    'no object',
    responded(200, '["access_token"]'),
    { error: 'oauth_token_unavailable', detail: 'Its answer holds no bearer token.' },
  ],
  ['no JSON', responded(200, 'access_token=a'), { error: 'oauth_token_unavailable' }],
  [
    'a refusal with a reason',
    responded(401, '{"error":"invalid_client","error_description":"unknown\\u001b client"}'),
    { error: 'oauth_token_refused', detail: 'It answered 401 invalid_client: unknown? client.' },
  ],
  [
    'a refusal that repeats the secret',
    responded(400, '{"error":"invalid_request","error_description":"s3cret is wrong"}'),
    { error: 'oauth_token_refused', detail: 'It answered 400 invalid_request.' },
  ],
  ['a refusal without a reason', responded(403, ''), { error: 'oauth_token_refused', detail: 'It answered 403.' }],
  [
    'too many requests',
    { ...responded(429, ''), retryAfterMs: 7000 },
    { error: 'oauth_token_unavailable', detail: 'It answered 429.', retryAfterMs: 7000 },
  ],
  ['a failure of its own', responded(503, ''), { error: 'oauth_token_unavailable', detail: 'It answered 503.' }],
  ['a redirect', { ...responded(302, ''), error: 'redirect_not_followed' }, { error: 'oauth_token_unavailable' }],
  [
    'an address that webhooks may not reach',
    { ...failure, error: 'ssrf_blocked' },
    { error: 'oauth_token_unavailable', detail: 'The address is one that webhooks may not reach.' },
  ],
  [
    'nothing in time',
    { ...failure, error: 'timeout' },
    { error: 'oauth_token_unavailable', detail: 'The answer did not come in time.' },
  ],
  ['nothing, because the service stops', { ...failure, error: 'shutdown' }, { error: 'shutdown' }],
  ['nothing, for want of a place', { shortage: 'places' }, { shortage: 'places' }],
];

test.each(answers)('a token server that answers with %s', async (_, answer, expected) => {
  const asked: PostRequest[] = [];
  const ask = createTokenRequest({
    client: { post: async (request) => (asked.push(request), answer) },
    userAgent: 'HomeChef-Webhooks/test',
    signal: new AbortController().signal,
  });
  const got = await ask(holder);
  expect(got).toMatchObject(expected);
  if ('error' in got) expect(got).toMatchObject({ transcript: null });
  if ('error' in got && got.error !== 'shutdown') expect(got).toMatchObject({ httpStatus: null, response: null });
  const [{ url, headers, body, timeoutMs } = {}] = asked;
  expect([url, timeoutMs]).toEqual([settings.token_url, 2000]);
  expect(headers).toContain(`authorization: Basic ${Buffer.from('till:s3cret').toString('base64')}\r\n`);
  expect(String(body)).toBe('grant_type=client_credentials&scope=write&audience=https%3A%2F%2Ftill.example');
});
