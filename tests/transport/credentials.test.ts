// Where a token may stand, and what else a stranger may write to look like a known caller.
import { create, toBinary, toJsonString } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GetWebhookRequestSchema } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { restClient } from '../fixtures/rest.ts';

let service: TestApp;
let alice: string;
let admin: string;
let webhookId: string;
beforeAll(async () => {
  service = await startApp();
  [alice, admin] = await Promise.all([service.token('alice'), service.token('root', 'admin')]);
  const webhook = { url: 'https://example.com/hook', events: ['order.created'] };
  webhookId = (await restClient(service.http, alice)('POST', '/api/v1/webhooks', webhook)).body.id;
}, 120_000);
afterAll(() => service.close());

/** A REST read, a Connect GET and a Connect POST of the same webhook. */
function requests(query: string): [url: string, init: { method: string; body?: string; headers: Record<string, string> }][] {
  const rpc = `${service.http}/homechef.webhook.v1.WebhookService/GetWebhook`;
  const message = create(GetWebhookRequestSchema, { webhookId });
  const encoded = Buffer.from(toBinary(GetWebhookRequestSchema, message)).toString('base64url');
  const extra = query === '' ? '' : `&${query}`;
  return [
    [`${service.http}/api/v1/webhooks/${webhookId}${query === '' ? '' : `?${query}`}`, { method: 'GET', headers: {} }],
    [`${rpc}?connect=v1&encoding=proto&base64=1&message=${encoded}${extra}`, { method: 'GET', headers: {} }],
    [
      `${rpc}${query === '' ? '' : `?${query}`}`,
      {
        method: 'POST',
        body: toJsonString(GetWebhookRequestSchema, message),
        headers: { 'content-type': 'application/json' },
      },
    ],
  ];
}

async function statuses(query: string, headers: Record<string, string>): Promise<number[]> {
  const answers = requests(query).map(async ([url, init]) => {
    const response = await fetch(url, { ...init, headers: { ...init.headers, ...headers } });
    await response.text();
    return response.status;
  });
  return Promise.all(answers);
}

test('the header is where a token is taken from', async () => {
  expect(await statuses('', { authorization: `Bearer ${alice}` })).toEqual([200, 200, 200]);
});

describe('a token anywhere else is none', () => {
  test.each<[string, (token: string) => { query?: string; headers?: Record<string, string> }]>([
    ['?token=', (token) => ({ query: `token=${token}` })],
    ['?access_token=', (token) => ({ query: `access_token=${token}` })],
    ['?authorization=', (token) => ({ query: `authorization=Bearer%20${token}` })],
    ['a cookie', (token) => ({ headers: { cookie: `token=${token}; authorization=Bearer ${token}; access_token=${token}` } })],
    ['X-Auth-Token', (token) => ({ headers: { 'x-auth-token': token, 'x-access-token': token, 'x-api-key': token } })],
    ['Proxy-Authorization', (token) => ({ headers: { 'proxy-authorization': `Bearer ${token}` } })],
    [
      'basic authentication',
      (token) => ({ headers: { authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` } }),
    ],
    [
      'a subprotocol of what is no WebSocket',
      (token) => ({ headers: { 'sec-websocket-protocol': `homechef.v1, bearer.${token}` } }),
    ],
  ])('%s', async (_, put) => {
    const { query = '', headers = {} } = put(alice);
    expect(await statuses(query, headers)).toEqual([401, 401, 401]);
  });
});

describe('headers of other people’s making change nothing', () => {
  const identity = {
    'x-user-id': 'alice',
    'x-user-type': 'admin',
    'x-role': 'admin',
    'x-forwarded-user': 'alice',
    'x-remote-user': 'alice',
    'x-forwarded-email': 'alice@example.com',
    'x-forwarded-client-cert': 'Subject="CN=root"',
    'x-ssl-client-verify': 'SUCCESS',
    'x-forwarded-for': '127.0.0.1',
    'x-real-ip': '127.0.0.1',
    forwarded: 'for=127.0.0.1;proto=https;host=internal',
    'x-forwarded-host': 'internal',
    'x-forwarded-proto': 'https',
    'x-original-url': '/livez',
    'x-rewrite-url': '/livez',
    'x-http-method-override': 'DELETE',
  };

  test('they identify no caller', async () => {
    expect(await statuses('', identity)).toEqual([401, 401, 401]);
  });

  test('they make no caller another caller, and no call another call', async () => {
    const mallory = await service.token('mallory');
    expect(await statuses('', { ...identity, authorization: `Bearer ${mallory}` })).toEqual([404, 404, 404]);
    expect(await statuses('', { ...identity, authorization: `Bearer ${alice}` })).toEqual([200, 200, 200]);
  });

  test('they raise no role: what services and operators may, a developer may not', async () => {
    const response = await fetch(`${service.http}/api/v1/events`, {
      method: 'POST',
      headers: { ...identity, authorization: `Bearer ${alice}`, 'content-type': 'application/json' },
      body: JSON.stringify({ event_type: 'order.created', data: {}, audience: { broadcast: true } }),
    });
    expect(response.status).toBe(403);
    const detailed = async (token: string): Promise<boolean> => {
      const health = await fetch(`${service.http}/health`, { headers: { ...identity, authorization: `Bearer ${token}` } });
      return 'checks' in ((await health.json()) as object);
    };
    expect([await detailed(alice), await detailed(admin)]).toEqual([false, true]);
  });
});
