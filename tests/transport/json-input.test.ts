// One reader of JSON behind every protocol: what one refuses, all refuse, with the same reason and the same field.
import { connect as connectHttp2 } from 'node:http2';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PublishStreamRequestSchema, type PublishStreamRequest } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { decodeMessage } from '../../src/transport/body/decode.ts';
import { faultOf } from '../../src/transport/body/lone-items.ts';
import { EVENT, openListeners } from './listeners.ts';
import type { Listeners } from './listeners.ts';

const EVENTS = 'homechef.webhook.v1.EventService';
const AUDIENCE = '"audience":{"broadcast":true}';

let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners();
});
afterAll(() => listeners.close());
beforeEach(() => {
  listeners.world.calls.length = 0;
  listeners.world.events.length = 0;
});

/** What the log of calls says became of it: the same words that the caller gets, whatever the protocol. */
interface Told {
  readonly code: string;
  readonly reason: string | undefined;
  readonly fields: readonly string[];
}

type Send = (rpc: string, path: string, body: string, token?: string) => Promise<Told>;

const ways: Record<string, Send> = {
  REST: (_rpc, path, body, token) => post(path, 'application/json', Buffer.from(body), token),
  'Connect JSON': (rpc, _path, body, token) => post(`/${rpc}`, 'application/json', Buffer.from(body), token),
  'gRPC-Web JSON': (rpc, _path, body, token) => post(`/${rpc}`, 'application/grpc-web+json', frame(body), token),
  'gRPC JSON': async (rpc, _path, body, token = 'service:orders') => {
    const session = connectHttp2(listeners.grpcUrl);
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${rpc}`,
      'content-type': 'application/grpc+json',
      te: 'trailers',
      authorization: `Bearer ${token}`,
    });
    stream.resume();
    stream.end(frame(body));
    await new Promise((resolve) => stream.once('close', resolve));
    session.close();
    return told();
  },
};

async function post(path: string, type: string, body: Buffer, token = 'service:orders'): Promise<Told> {
  const headers = { 'content-type': type, authorization: `Bearer ${token}` };
  const response = await fetch(listeners.httpUrl + path, { method: 'POST', headers, body: new Uint8Array(body) });
  await response.arrayBuffer();
  return told();
}

function told(): Told {
  const call = listeners.world.calls.at(-1);
  return {
    code: call?.code ?? 'no call',
    reason: call?.error?.reason,
    fields: call?.error?.violations.map(({ field }) => field) ?? [],
  };
}

function frame(text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const event = (fields: string): string => `{"event_type":"order.created",${fields}}`;

describe.each(Object.entries(ways))('%s', (_name, send) => {
  test.each([
    ['an unknown field', event(`"data":{},${AUDIENCE},"idempotency_kye":"k"`), 'field_unknown', 'idempotency_kye'],
    ['an unknown field within', event('"data":{},"audience":{"broadcats":true}'), 'field_unknown', 'audience.broadcats'],
    ['a wrong type', `{"event_type":5,"data":{},${AUDIENCE}}`, 'field_invalid', 'event_type'],
    ['a list that is none', event('"data":{},"audience":{"user_ids":"a"}'), 'field_invalid', 'audience.user_ids'],
    ['a payload that is no object', event(`"data":[1],${AUDIENCE}`), 'field_invalid', 'data'],
    ['bad base64', event(`"data_json":"e30*",${AUDIENCE}`), 'field_invalid', 'data_json'],
    ['a time that is none', event(`"data":{},${AUDIENCE},"occurred_at":"yesterday"`), 'field_invalid', 'occurred_at'],
    [
      'a day that does not exist',
      event(`"data":{},${AUDIENCE},"occurred_at":"2026-02-30T00:00:00Z"`),
      'field_invalid',
      'occurred_at',
    ],
    [
      'an hour that does not exist',
      event(`"data":{},${AUDIENCE},"occurred_at":"2026-02-28T24:00:00Z"`),
      'field_invalid',
      'occurred_at',
    ],
    ['both of a choice', event(`"data":{},"data_json":"e30=",${AUDIENCE}`), 'field_invalid', 'data_json'],
    ['a payload that is too deep', event(`"data":${deep(33)},${AUDIENCE}`), 'payload_too_deep', 'data'],
    ['a body that is too deep', event(`"data":${deep(100_000)},${AUDIENCE}`), 'payload_too_deep', 'data'],
    ['a key twice', event(`"data":{"tip":1,"tip":2},${AUDIENCE}`), 'key_duplicate', 'data.tip'],
    ['a field twice', event(`"data":{},${AUDIENCE},${AUDIENCE}`), 'key_duplicate', 'audience'],
    ['a number too long', event(`"data":{"n":9007199254740993},${AUDIENCE}`), 'payload_number_not_representable', 'data.n'],
  ])('%s is refused with its field', async (_what, body, reason, field) => {
    expect(await send(`${EVENTS}/PublishEvent`, '/api/v1/events', body)).toEqual({
      code: 'invalid_argument',
      reason,
      fields: [field],
    });
    expect(listeners.world.events).toEqual([]);
  });

  test('an enum value that does not exist is refused with its field', async () => {
    const body = '{"url":"https://a.example/","events":["order.created"],"scope":"platfrom"}';
    const answer = await send('homechef.webhook.v1.WebhookService/CreateWebhook', '/api/v1/webhooks', body, 'admin:root');
    expect(answer).toEqual({ code: 'invalid_argument', reason: 'field_invalid', fields: ['scope'] });
    expect(listeners.world.created).toEqual([]);
  });

  test.each(['platform', 'WEBHOOK_SCOPE_PLATFORM'])('an enum value may be written as %s', async (scope) => {
    listeners.world.created.length = 0;
    const body = `{"url":"https://a.example/","events":["order.created"],"scope":"${scope}"}`;
    const answer = await send('homechef.webhook.v1.WebhookService/CreateWebhook', '/api/v1/webhooks', body, 'admin:root');
    expect(answer.code).toBe('ok');
    expect(listeners.world.created).toMatchObject([{ scope: 2 }]);
    listeners.world.created.length = 0;
  });

  test('one event of a batch that cannot be read fails alone', async () => {
    const good = event(`"data":{},${AUDIENCE}`);
    const bad = [
      'null',
      event(`"data":{"a":1,"a":2},${AUDIENCE}`),
      `{"event_type":5,${AUDIENCE}}`,
      event(`"data":${deep(500)}`),
    ];
    const body = `{"events":[${[good, ...bad, good].join(',')}]}`;
    expect(await send(`${EVENTS}/PublishEvents`, '/api/v1/events/batch', body)).toMatchObject({ code: 'ok' });
    expect(listeners.world.events).toHaveLength(2);
  });

  test('what is wrong with a batch beside its events is wrong with all of it', async () => {
    const good = event(`"data":{},${AUDIENCE}`);
    for (const [body, reason, field] of [
      [`{"events":[${good}],"evnets":[]}`, 'field_unknown', 'evnets'],
      [`{"events":[],"events":[${good}]}`, 'key_duplicate', 'events'],
      [`{"events":${good}}`, 'field_invalid', 'events'],
    ] as const) {
      const answer = await send(`${EVENTS}/PublishEvents`, '/api/v1/events/batch', body);
      expect(answer).toEqual({ code: 'invalid_argument', reason, fields: [field] });
    }
    expect(listeners.world.events).toEqual([]);
  });
});

test('each event that cannot be read says why, with its own field', async () => {
  const events = [
    EVENT,
    { ...EVENT, foo: 1 },
    { ...EVENT, data: 'x' },
    { ...EVENT, occurred_at: 'yesterday' },
    { ...EVENT, audience: { user_ids: [5] } },
    { event_type: 'order.created', data_json: '*', audience: { broadcast: true } },
    7,
  ];
  const response = await fetch(`${listeners.httpUrl}/api/v1/events/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer service:orders' },
    body: JSON.stringify({ events }),
  });
  const answer = (await response.json()) as { results: { error?: { reason: string; field: string } }[] };
  expect(answer.results.map(({ error }) => error && [error.reason, error.field])).toEqual([
    undefined,
    ['field_unknown', 'foo'],
    ['field_invalid', 'data'],
    ['field_invalid', 'occurred_at'],
    ['field_invalid', 'audience.user_ids[0]'],
    ['field_invalid', 'data_json'],
    ['field_invalid', ''],
  ]);
});

test('what protobuf’s own mapping lets its clients write is read over Connect', async () => {
  const body =
    '{"eventType":"order.created","dataJson":"e30","audience":{"userIds":["a"],"broadcast":null},"idempotencyKey":null}';
  expect(await ways['Connect JSON']?.(`${EVENTS}/PublishEvent`, '', body)).toMatchObject({ code: 'ok' });
  const list = '{"status":4,"limit":"5","pageToken":""}';
  const deliveries = 'homechef.webhook.v1.DeliveryService/ListDeliveries';
  expect(await ways['Connect JSON']?.(deliveries, '', list, 'developer:user123')).toMatchObject({ code: 'ok' });
  for (const unknown of ['{"status":"nonsense"}', '{"limit":"five"}', '{"page_token":"","pageToken":""}']) {
    expect(await ways['Connect JSON']?.(deliveries, '', unknown, 'developer:user123')).toMatchObject({
      code: 'invalid_argument',
    });
  }
});

test('a million items that are no events are one refusal', async () => {
  const body = `{"events":[${'1,'.repeat(500_000)}1]}`;
  for (const way of ['REST', 'Connect JSON']) {
    const answer = await ways[way]?.(`${EVENTS}/PublishEvents`, '/api/v1/events/batch', body);
    expect(answer).toEqual({ code: 'invalid_argument', reason: 'field_invalid', fields: ['events'] });
  }
  const bad = Buffer.from([0x0a, 0x03, 0x0a, 0x01, 0xff]);
  const all = Buffer.concat(Array.from({ length: 100_000 }, () => bad));
  await post(`/${EVENTS}/PublishEvents`, 'application/proto', all);
  expect(told()).toEqual({ code: 'invalid_argument', reason: 'field_invalid', fields: ['events'] });
});

test('one event of a stream that is no message fails alone, and two in one message are none', () => {
  const bad = Buffer.from([0x0a, 0x03, 0x0a, 0x01, 0xff]);
  const request = decodeMessage(PublishStreamRequestSchema, bad, false) as PublishStreamRequest;
  expect(request.event === undefined ? undefined : faultOf(request.event)).toMatchObject({ reason: 'body_malformed' });
  const two = Buffer.concat([bad, Buffer.from([0x0a, 0x00])]);
  expect(() => decodeMessage(PublishStreamRequestSchema, two, false)).toThrow('not one well-formed message');
});

test('one event of a protobuf batch that is no message fails alone', async () => {
  const good = Buffer.from([0x0a, 0x01, 0x61]);
  const bad = Buffer.from([0x0a, 0x01, 0xff]);
  const body = Buffer.concat([good, bad].flatMap((bytes) => [Buffer.from([0x0a, bytes.length]), bytes]));
  const response = await fetch(`${listeners.httpUrl}/${EVENTS}/PublishEvents`, {
    method: 'POST',
    headers: { 'content-type': 'application/proto', authorization: 'Bearer service:orders' },
    body,
  });
  expect(response.status).toBe(200);
  const text = Buffer.from(await response.arrayBuffer()).toString('latin1');
  expect(text).toContain('body_malformed');
  expect(text).toContain('field_invalid');
});
