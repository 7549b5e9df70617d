// Everything a caller does, through every protocol, on the whole service.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { callers, type Caller } from '../fixtures/callers.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type ReceivedRequest, type Receiver } from '../fixtures/receiver.ts';
import { restClient } from '../fixtures/rest.ts';

const protocols = ['REST', 'Connect', 'gRPC-Web', 'gRPC', 'grpc-js'] as const;
/** What is easily mangled on the way: order of keys, numbers, escapes, surrogates, nesting. */
const data = {
  zulu: 1,
  alpha: [1e21, 0.1, -0, 1.0],
  text: 'Łódź "quoted" \u2028 \u0000 😀',
  nested: { b: null, a: { deep: [true, {}] } },
};

let service: TestApp;
let receiver: Receiver;
let clients: Caller[];
let developerToken: string;
let serviceToken: string;

beforeAll(async () => {
  [service, receiver] = await Promise.all([startApp(), startReceiver()]);
  clients = callers(service.http, service.grpc);
  developerToken = await service.token('user123');
  serviceToken = await service.token('orders', 'service');
});
afterAll(async () => {
  for (const client of clients) client.close();
  await service.close();
  await receiver.close();
});

const through = (protocol: string): Caller => {
  const found = clients.find((client) => client.protocol === protocol);
  if (found === undefined) throw new Error(`no protocol is called ${protocol}`);
  return found;
};

async function manage(
  protocol: string,
  rpc: string,
  request: Parameters<Caller['call']>[1],
  token = developerToken,
): Promise<any> {
  const answer = await through(protocol).call(rpc, request, token);
  if (!answer.ok) throw new Error(`${rpc} over ${protocol}: ${answer.code} ${answer.reason} ${answer.fields.join(' ')}`);
  return answer.body;
}

const received: Record<string, ReceivedRequest> = {};

describe.each(protocols)('%s', (protocol) => {
  test('publishes, and manages webhooks from creation to deletion', async () => {
    const path = `/${protocol}`;
    const created = await manage(protocol, 'CreateWebhook', {
      url: receiver.url(path),
      events: ['order.created'],
      description: protocol,
    });
    expect(created.id).toMatch(/^webhook_[0-9a-z]{26}$/);
    expect(created.secret).toMatch(/^whsec_/);
    const read = await manage(protocol, 'GetWebhook', { webhook_id: created.id });
    expect(read).toMatchObject({ id: created.id, description: protocol });
    expect(read.secret ?? '').toBe('');
    const listed = await manage(protocol, 'ListWebhooks', {});
    expect(listed.webhooks.map((webhook: { id: string }) => webhook.id)).toEqual([created.id]);

    const published = await manage(
      protocol,
      'PublishEvent',
      { event_type: 'order.created', data, audience: { user_ids: ['user123'] }, idempotency_key: `key-${protocol}` },
      serviceToken,
    );
    expect(published.deliveries).toBe(1);
    const request = await receiver.waitFor(() => receiver.at(path)[0]);
    received[protocol] = request;
    expect(() => new Webhook(created.secret).verify(request.body, { ...request.headers })).not.toThrow();

    const delivered = await eventually(async () => {
      const { deliveries } = await manage(protocol, 'ListDeliveries', { webhook_id: created.id });
      return deliveries.find((delivery: { status: string }) => /^(DELIVERY_STATUS_)?DELIVERED$/i.test(delivery.status));
    });
    const full = await manage(protocol, 'GetDelivery', { delivery_id: delivered.id });
    expect(full.body).toBe(request.body.toString());
    expect(full.attempts).toHaveLength(1);

    await manage(protocol, 'UpdateWebhook', { webhook_id: created.id, description: 'changed' });
    expect((await manage(protocol, 'GetWebhook', { webhook_id: created.id })).description).toBe('changed');
    await manage(protocol, 'DeleteWebhook', { webhook_id: created.id });
    const gone = await through(protocol).call('GetWebhook', { webhook_id: created.id }, developerToken);
    expect(gone).toMatchObject({ ok: false, code: 'not_found', reason: 'not_found' });
  });
});

test('the bytes that a receiver gets do not depend on the protocol', () => {
  const bodies = protocols.map((protocol) => {
    const { webhook_id, delivery_id, timestamp } = JSON.parse(received[protocol]?.body.toString() ?? '') as Record<
      string,
      string
    >;
    return [webhook_id, delivery_id, timestamp].reduce<string>(
      (text, id) => text.replace(id ?? '', '…'),
      received[protocol]?.body.toString() ?? '',
    );
  });
  expect(new Set(bodies)).toEqual(
    new Set([`{"event":"order.created","data":${JSON.stringify(data)},"timestamp":"…","webhook_id":"…","delivery_id":"…"}`]),
  );
});

test('the verifier that README shows accepts a delivery as Express parses it, and refuses a changed one', async () => {
  const webhook = await manage('REST', 'CreateWebhook', { url: receiver.url('/readme'), events: ['order.created'] });
  const event = { event_type: 'order.created', data, audience: { user_ids: ['user123'] } };
  await manage('REST', 'PublishEvent', event, serviceToken);
  const { body, headers } = await receiver.waitFor(() => receiver.at('/readme')[0]);
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const source = /^function verifyWebhook[\s\S]*?^}/m.exec(readme)?.[0] ?? '';
  const verify = runInNewContext(`${source}; verifyWebhook`, { crypto: { createHmac } }) as (
    payload: string,
    signature: string | undefined,
    secret: string,
  ) => boolean;
  const payload = JSON.stringify(JSON.parse(body.toString()));
  expect(verify(payload, headers['x-homechef-signature'], webhook.secret)).toBe(true);
  expect(verify(payload.replace('zulu', 'yoke'), headers['x-homechef-signature'], webhook.secret)).toBe(false);
  await manage('REST', 'DeleteWebhook', { webhook_id: webhook.id });
});

const okWebhook = { url: 'http://127.0.0.1:9/x', events: ['order.created'] };
const okEvent = { event_type: 'order.created', data: { n: 1 }, audience: { user_ids: ['user123'] } };
const someId = `webhook_${'0'.repeat(26)}`;

describe('bad input gets the same clear answer over every protocol, and writes nothing', () => {
  const cases: {
    what: string;
    rpc: string;
    request: Parameters<Caller['call']>[1];
    role?: 'developer' | 'service' | null;
    expected: { code: string; reason?: string; fields?: string[] };
  }[] = [
    {
      what: 'an unknown event type in a webhook',
      rpc: 'CreateWebhook',
      request: { ...okWebhook, events: ['order.eaten'] },
      expected: { code: 'invalid_argument', reason: 'event_type_unknown', fields: ['events[0]'] },
    },
    {
      what: 'an unknown event type in an event',
      rpc: 'PublishEvent',
      request: { ...okEvent, event_type: 'order.eaten' },
      role: 'service',
      expected: { code: 'invalid_argument', reason: 'event_type_unknown', fields: ['event_type'] },
    },
    {
      what: 'what is not a URL',
      rpc: 'CreateWebhook',
      request: { ...okWebhook, url: 'not a url' },
      expected: { code: 'invalid_argument', reason: 'endpoint_url_invalid', fields: ['url'] },
    },
    {
      what: 'a URL where webhooks may not go',
      rpc: 'CreateWebhook',
      request: { ...okWebhook, url: 'http://169.254.169.254/latest/meta-data' },
      expected: { code: 'invalid_argument', reason: 'endpoint_url_forbidden', fields: ['url'] },
    },
    {
      what: 'no event types',
      rpc: 'CreateWebhook',
      request: { ...okWebhook, events: [] },
      expected: { code: 'invalid_argument', reason: 'field_invalid', fields: ['events'] },
    },
    {
      what: 'max_retries: -1',
      rpc: 'CreateWebhook',
      request: { ...okWebhook, retry_policy: { max_retries: -1 } },
      expected: { code: 'invalid_argument', reason: 'field_invalid', fields: ['retry_policy.max_retries'] },
    },
    {
      what: 'a malformed id',
      rpc: 'GetWebhook',
      request: { webhook_id: "x' or 1=1" },
      expected: { code: 'not_found', reason: 'not_found', fields: ['webhook_id'] },
    },
    {
      what: 'no audience',
      rpc: 'PublishEvent',
      request: { event_type: 'order.created', data: {}, audience: {} },
      role: 'service',
      expected: { code: 'invalid_argument', reason: 'audience_missing', fields: ['audience'] },
    },
    {
      what: 'a payload over the limit',
      rpc: 'PublishEvent',
      request: { ...okEvent, data: { long: 'x'.repeat(1_048_576) } },
      role: 'service',
      expected: { code: 'resource_exhausted', reason: 'payload_too_large' },
    },
    {
      what: 'no token',
      rpc: 'GetWebhook',
      request: { webhook_id: someId },
      role: null,
      expected: { code: 'unauthenticated', reason: 'token_missing' },
    },
    {
      what: 'another role',
      rpc: 'PublishEvent',
      request: okEvent,
      expected: { code: 'permission_denied', reason: 'role_not_allowed' },
    },
    {
      what: 'an id of nothing',
      rpc: 'GetWebhook',
      request: { webhook_id: someId },
      expected: { code: 'not_found', reason: 'not_found' },
    },
  ];

  test.each(cases)('$what', async ({ rpc, request, role = 'developer', expected }) => {
    const before = await countRows();
    const token = role === null ? null : role === 'service' ? serviceToken : developerToken;
    const answers = await Promise.all(
      clients.map(async (client) => ({ protocol: client.protocol, ...(await client.call(rpc, request, token)) })),
    );
    for (const answer of answers) expect(answer).toMatchObject({ ok: false, ...expected });
    expect(await countRows()).toEqual(before);
  });

  test.each([
    ['an unknown field', { ...okWebhook, colour: 'red' }, 'field_unknown', 'colour'],
    ['a field that is the server’s', { ...okWebhook, secret: 'whsec_mine' }, 'field_unknown', 'secret'],
    ['a number for a text', { ...okWebhook, url: 5 }, 'field_invalid', 'url'],
    ['a text for a list', { ...okWebhook, events: 'order.created' }, 'field_invalid', 'events'],
    [
      'a text for a number',
      { ...okWebhook, retry_policy: { max_retries: 'three' } },
      'field_invalid',
      'retry_policy.max_retries',
    ],
  ])('REST refuses %s', async (_, request, reason, field) => {
    const before = await countRows();
    const { status, body } = await restClient(service.http, developerToken)('POST', '/api/v1/webhooks', request);
    expect({ status, reason: body.error.reason, field: body.error.details?.[0]?.field }).toEqual({
      status: 400,
      reason,
      field,
    });
    expect(await countRows()).toEqual(before);
  });

  test('REST refuses what is not JSON, and what is too large', async () => {
    const before = await countRows();
    const developer = restClient(service.http, developerToken);
    expect(await developer('POST', '/api/v1/webhooks', '{"url":')).toMatchObject({
      status: 400,
      body: { error: { reason: 'body_malformed' } },
    });
    const publisher = restClient(service.http, serviceToken);
    const large = await publisher('POST', '/api/v1/events', { ...okEvent, data: { long: 'x'.repeat(1_048_576) } });
    expect(large).toMatchObject({ status: 413, body: { error: { reason: 'payload_too_large' } } });
    expect(await countRows()).toEqual(before);
  });
});

test('another user’s webhook looks like one that does not exist', async () => {
  const theirs = await manage('REST', 'CreateWebhook', okWebhook, await service.token('somebody-else'));
  for (const client of clients) {
    const [another, nothing] = await Promise.all(
      [theirs.id as string, someId].map((id) => client.call('GetWebhook', { webhook_id: id }, developerToken)),
    );
    expect(another).toEqual(nothing);
  }
});

async function countRows(): Promise<unknown> {
  const { rows } = await service.database.pool.query(
    `select (select count(*) from webhook_endpoints) as webhooks, (select count(*) from events) as events,
       (select count(*) from deliveries) as deliveries, (select count(*) from idempotency_keys) as keys`,
  );
  return rows[0];
}
