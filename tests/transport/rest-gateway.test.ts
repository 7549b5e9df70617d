// REST as developers meet it: routes, input and output, each held to what the contract says.
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { MAX_MESSAGE_BYTES, bearer, connectClient, EVENT, grpcJsClient, openListeners, rest, WEBHOOK_ID } from './listeners.ts';
import type { Listeners } from './listeners.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';

let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners();
});
afterAll(() => listeners.close());
beforeEach(() => {
  listeners.world.failure = null;
  listeners.world.events.length = 0;
  listeners.world.created.length = 0;
});

const developer = { token: 'developer:user123' };
const publish = (body: unknown, headers: Record<string, string> = {}) =>
  rest(listeners, 'POST', '/api/v1/events', { body, headers });
const reasonOf = (answer: { json: unknown }) => (answer.json as { error: { reason: string } }).error.reason;
const fieldsOf = (answer: { json: unknown }) =>
  (answer.json as { error: { details: { field: string }[] } }).error.details.map(({ field }) => field);

test('names fields as the contract does, shortens enums and leaves no implicit field out', async () => {
  const { status, json, headers } = await rest(listeners, 'GET', `/api/v1/webhooks/${WEBHOOK_ID}`, developer);
  expect(status).toBe(200);
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(json).toMatchObject({
    user_id: 'user123',
    scope: 'user',
    is_active: false,
    events: ['order.created'],
    custom_headers: {},
  });
  expect(json).not.toHaveProperty('secret');
});

test('answers with the status that the policy names', async () => {
  expect((await publish(EVENT)).status).toBe(202);
  const created = await rest(listeners, 'POST', '/api/v1/webhooks', {
    ...developer,
    body: { url: 'https://a.example/', events: ['order.created'] },
  });
  expect(created.status).toBe(201);
  const deleted = await rest(listeners, 'DELETE', `/api/v1/webhooks/${WEBHOOK_ID}`, developer);
  expect([deleted.status, deleted.text, deleted.headers.get('content-type')]).toEqual([204, '', null]);
});

test('prefers a static path over an id', async () => {
  const { json } = await rest(listeners, 'GET', '/api/v1/webhooks/events', developer);
  expect(json.events[0]).toMatchObject({ name: 'order.created', sample: { n: 1 } });
  expect((await rest(listeners, 'GET', '/api/v1/webhooks/deliveries', developer)).json).toHaveProperty('deliveries');
});

test('reads query parameters: numbers, enums in both spellings, times, and empty ones as not given', async () => {
  for (const status of ['failed', 'DELIVERY_STATUS_FAILED']) {
    const query = `status=${status}&webhook_id=&event_type=order.created&event_id=&since=2024-01-15T10:30:00Z&until=&page=2&limit=10`;
    const { json } = await rest(listeners, 'GET', `/api/v1/webhooks/deliveries?${query}`, developer);
    expect(json).toMatchObject({ page: 2, limit: 10 });
    expect(json.deliveries[0]).toMatchObject({
      status: 'failed',
      event_type: 'order.created',
      created_at: '2024-01-15T10:30:00Z',
    });
  }
});

test.each([
  ['limit=101', 'limit', 'field_invalid'],
  ['limit=1.5', 'limit', 'field_invalid'],
  ['limit=ten', 'limit', 'field_invalid'],
  ['limit=1e1', 'limit', 'field_invalid'],
  ['limit=10&limit=20', 'limit', 'field_invalid'],
  ['page=-1', 'page', 'field_invalid'],
  ['status=eaten', 'status', 'field_invalid'],
  ['status=failed&status=eaten', 'status', 'field_invalid'],
  ['webhook_id=webhook_01hzy000000000000000000000&webhook_id=x', 'webhook_id', 'field_invalid'],
  ['statuses=eaten', 'statuses[0]', 'field_invalid'],
  ['order=up', 'order', 'field_invalid'],
  ['since=yesterday', 'since', 'field_invalid'],
  ['webhook_id[$gt]=0', 'webhook_id[$gt]', 'field_unknown'],
  ['webhook_id=1%20or%201=1', 'webhook_id', 'field_invalid'],
  ['since.seconds=5', 'since.seconds', 'field_unknown'],
  ['sort=url', 'sort', 'field_unknown'],
  ['__proto__=1', '__proto__', 'field_unknown'],
  ['constructor.name=1', 'constructor.name', 'field_unknown'],
])('refuses the query ?%s and names %s', async (query, field, reason) => {
  const answer = await rest(listeners, 'GET', `/api/v1/webhooks/deliveries?${query}`, developer);
  expect([answer.status, reasonOf(answer), fieldsOf(answer)]).toEqual([400, reason, [field]]);
});

test.each(['%', '%zz', '%ff'])('refuses the query %s, which is no text', async (query) => {
  const answer = await rest(listeners, 'GET', `/api/v1/webhooks/deliveries?event_type=${query}`, developer);
  expect([answer.status, reasonOf(answer)]).toEqual([400, 'body_malformed']);
});

test.each([
  [{ url: 5 }, 'url'],
  [{ url: null }, 'url'],
  [{ url: ['https://a.example/'] }, 'url'],
  [{ url: {} }, 'url'],
  [{ events: 'order.created' }, 'events'],
  [{ events: ['order.created', 7] }, 'events[1]'],
  [{ retry_policy: { max_retries: '3' } }, 'retry_policy.max_retries'],
  [{ retry_policy: { max_retries: 1.5 } }, 'retry_policy.max_retries'],
  [{ retry_policy: { max_retries: 99 } }, 'retry_policy.max_retries'],
  [{ retry_policy: [] }, 'retry_policy'],
  [{ rate_limit: true }, 'rate_limit'],
  [{ rate_limit: 2 ** 31 }, 'rate_limit'],
  [{ scope: 2 }, 'scope'],
  [{ scope: 'all' }, 'scope'],
  [{ custom_headers: { 'X-A': 1 } }, 'custom_headers["X-A"]'],
  [{ description: 'a\0b' }, 'description'],
  [{ description: '\ud800' }, 'description'],
  [{ events: [] }, 'events'],
])('refuses %j and names the field', async (change, field) => {
  const body = { url: 'https://a.example/', events: ['order.created'], ...change };
  const answer = await rest(listeners, 'POST', '/api/v1/webhooks', { ...developer, body });
  expect([answer.status, reasonOf(answer), fieldsOf(answer)]).toEqual([400, 'field_invalid', [field]]);
  expect(listeners.world.created).toEqual([]);
});

test.each([
  [{ id: WEBHOOK_ID }, 'id'],
  [{ secret: 'x' }, 'secret'],
  [{ retry_policy: { delay: 1 } }, 'retry_policy.delay'],
  [{ userId: 'x' }, 'userId'],
  [JSON.parse('{"__proto__":{"url":"x"}}') as object, '__proto__'],
])('refuses %j as unknown', async (change, field) => {
  const text = JSON.stringify({ url: 'https://a.example/', events: ['order.created'] });
  const body = text.replace('}', `,${JSON.stringify(change).slice(1)}`);
  const answer = await rest(listeners, 'POST', '/api/v1/webhooks', { ...developer, body });
  expect([answer.status, reasonOf(answer), fieldsOf(answer)]).toEqual([400, 'field_unknown', [field]]);
});

test('names every field at fault', async () => {
  const answer = await rest(listeners, 'POST', '/api/v1/webhooks', {
    ...developer,
    body: { url: 5, events: [1], nonsense: true },
  });
  expect(fieldsOf(answer)).toEqual(['url', 'events[0]', 'nonsense']);
});

test('takes the id from the path and from nowhere else', async () => {
  const path = `/api/v1/webhooks/${WEBHOOK_ID}`;
  const answer = await rest(listeners, 'PUT', path, {
    ...developer,
    body: { url: 'https://b.example/', webhook_id: WEBHOOK_ID },
  });
  expect([answer.status, fieldsOf(answer)]).toEqual([400, ['webhook_id']]);
  expect((await rest(listeners, 'PUT', path, { ...developer, body: { url: 'https://b.example/' } })).json.url).toBe(
    'https://b.example/',
  );
});

test.each(['webhook_x', 'x'.repeat(900), 'webhook_%2e%2e', `${WEBHOOK_ID}'`])(
  'says of the id %s that there is no such thing, and which field it was',
  async (id) => {
    const answer = await rest(listeners, 'GET', `/api/v1/webhooks/${id}`, developer);
    expect([answer.status, reasonOf(answer), fieldsOf(answer)]).toEqual([404, 'not_found', ['webhook_id']]);
    expect(answer.json.error.message).toBe('webhook_id: is not the id of a webhook');
  },
);

test('an action needs no body', async () => {
  const answer = await rest(listeners, 'POST', `/api/v1/webhooks/${WEBHOOK_ID}/test`, developer);
  expect([answer.status, answer.json.success]).toEqual([200, true]);
  const empty = await rest(listeners, 'POST', `/api/v1/webhooks/deliveries/delivery_${'0'.repeat(26)}/retry`, {
    ...developer,
    body: '',
  });
  expect([empty.status, empty.json.status]).toEqual([202, 'pending']);
  // What clients generated for Go send where their caller gave none.
  const none = await rest(listeners, 'POST', `/api/v1/webhooks/deliveries/delivery_${'0'.repeat(26)}/retry`, {
    ...developer,
    body: 'null',
  });
  expect([none.status, none.json.status]).toEqual([202, 'pending']);
});

test.each(['[]', '5', '"x"', '{', '{"a":}', '{"a":1}x', "{'a':1}", '{"a":NaN}', '\ufeff\ufeff{}'])(
  'refuses the body %s',
  async (body) => {
    const answer = await publish(body);
    expect([answer.status, reasonOf(answer)]).toEqual([400, 'body_malformed']);
  },
);

test('refuses a body that is not UTF-8', async () => {
  const answer = await publish(Buffer.concat([Buffer.from('{"event_type":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]));
  expect([answer.status, reasonOf(answer)]).toEqual([400, 'body_malformed']);
});

test.each([
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/jsonp',
  'application/json; charset=utf-16',
])('refuses the media type %s', async (type) => {
  const answer = await publish(JSON.stringify(EVENT), { 'content-type': type });
  expect([answer.status, reasonOf(answer)]).toEqual([415, 'media_type_unsupported']);
});

test.each(['application/json', 'application/json; charset=UTF-8', 'application/vnd.api+json'])('reads %s', async (type) => {
  expect((await publish(JSON.stringify(EVENT), { 'content-type': type })).status).toBe(202);
});

test('reads a body that is compressed as it says, and no other', async () => {
  expect((await publish(gzipSync(JSON.stringify(EVENT)), { 'content-encoding': 'gzip' })).status).toBe(202);
  const plain = await publish(JSON.stringify(EVENT), { 'content-encoding': 'gzip' });
  expect([plain.status, reasonOf(plain)]).toEqual([400, 'body_malformed']);
  const unknown = await publish(JSON.stringify(EVENT), { 'content-encoding': 'zstd' });
  expect([unknown.status, reasonOf(unknown)]).toEqual([415, 'encoding_unsupported']);
  const bomb = await publish(gzipSync(Buffer.alloc(MAX_MESSAGE_BYTES + 1, ' ')), { 'content-encoding': 'gzip' });
  expect([bomb.status, reasonOf(bomb)]).toEqual([413, 'message_too_large']);
});

test('refuses an unknown route, and says which methods a known one takes', async () => {
  const unknown = await rest(listeners, 'GET', '/api/v1/nothing');
  expect([unknown.status, reasonOf(unknown)]).toEqual([404, 'route_not_found']);
  const wrong = await rest(listeners, 'POST', `/api/v1/webhooks/${WEBHOOK_ID}`);
  expect([wrong.status, reasonOf(wrong), wrong.headers.get('allow')]).toEqual([
    405,
    'method_not_allowed',
    'GET, PUT, PATCH, DELETE, HEAD',
  ]);
  const shadowed = await rest(listeners, 'PUT', '/api/v1/webhooks/events', { body: {} });
  expect([shadowed.status, shadowed.headers.get('allow')]).toEqual([405, 'GET, POST, HEAD']);
});

test.each([
  '{"z":1,"a":2,"10":3,"2":4}',
  '{"big":1e308,"small":5e-324,"precise":0.1,"long":1234567890123456,"negative":-0}',
  '{"nul":"\\u0000","pair":"\\ud83d\\ude00","lone":"\\ud800","é":"\u2028"}',
  '{"constructor":{"prototype":1},"toString":null,"nested":[[[{}]],true]}',
])('keeps the payload %s as JSON.parse reads it', async (data) => {
  const answer = await publish(`{"event_type":"order.created","audience":{"broadcast":true},"data":${data}}`);
  expect(answer.status).toBe(202);
  expect(listeners.world.events[0]?.data).toBe(JSON.stringify(JSON.parse(data)));
});

test('the same payload gives the same bytes at every protocol', async () => {
  const data = { b: 1.5, a: ['é', null, { x: '\u0000' }] };
  const audience = { userIds: ['user123'] };
  await publish({ ...EVENT, data });
  for (const protocol of ['connect', 'grpc-web', 'grpc'] as const) {
    const client = connectClient(EventService, listeners, protocol);
    await client.publishEvent({ eventType: 'order.created', audience, payload: { case: 'data', value: data } });
    const bytes = new TextEncoder().encode(JSON.stringify(data, null, 2));
    await client.publishEvent({ eventType: 'order.created', audience, payload: { case: 'dataJson', value: bytes } });
  }
  expect(new Set(listeners.world.events.map((event) => event.data))).toEqual(new Set([JSON.stringify(data)]));
  expect(listeners.world.events).toHaveLength(7);
});

test.each([
  ['{"a":1e400}', 400, 'payload_number_not_representable'],
  ['{"a":9007199254740993}', 400, 'payload_number_not_representable'],
  ['{"twice":1,"twice":2}', 400, 'key_duplicate'],
  ['{"a":[-1e999]}', 400, 'payload_number_not_representable'],
  ['{"__proto__":{"admin":true}}', 400, 'payload_key_forbidden'],
  ['{"a":[{"__proto__":1}]}', 400, 'payload_key_forbidden'],
  [`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`, 400, 'payload_too_deep'],
  ['[1]', 400, 'field_invalid'],
  [`{"a":"${'x'.repeat(1_048_576)}"}`, 413, 'payload_too_large'],
])('refuses the payload %#', async (data, status, reason) => {
  const answer = await publish(`{"event_type":"order.created","audience":{"broadcast":true},"data":${data}}`);
  expect([answer.status, reasonOf(answer)]).toEqual([status, reason]);
  expect(({} as { admin?: boolean }).admin).toBeUndefined();
  expect(listeners.world.events).toEqual([]);
});

test('a payload is data or data_json, not both', async () => {
  const answer = await publish({ ...EVENT, data_json: Buffer.from('{}').toString('base64') });
  expect([answer.status, fieldsOf(answer)]).toEqual([400, ['data_json']]);
});

test('takes the Idempotency-Key header, unless the body says otherwise', async () => {
  expect((await publish(EVENT, { 'idempotency-key': 'k1' })).status).toBe(202);
  expect((await publish({ ...EVENT, idempotency_key: 'k1' }, { 'idempotency-key': 'k1' })).status).toBe(202);
  expect(listeners.world.events.map((event) => event.idempotencyKey)).toEqual(['k1', 'k1']);
  const conflict = await publish({ ...EVENT, idempotency_key: 'k2' }, { 'idempotency-key': 'k1' });
  expect([conflict.status, fieldsOf(conflict)]).toEqual([400, ['idempotency_key']]);
});

test('each event of a batch succeeds or fails by itself', async () => {
  const events = [
    EVENT,
    { ...EVENT, event_type: 'nonsense' },
    { ...EVENT, audience: { user_ids: [''] } },
    { event_type: 'order.created', audience: { broadcast: true } },
  ];
  const { status, json } = await rest(listeners, 'POST', '/api/v1/events/batch', { body: { events } });
  expect(status).toBe(202);
  expect(json).toMatchObject({ accepted: 1, rejected: 3 });
  expect(json.results[0].published.event_id).toMatch(/^event_/);
  expect(
    json.results.slice(1).map(({ error }: { error: { reason: string; field: string } }) => [error.reason, error.field]),
  ).toEqual([
    ['event_type_unknown', 'event_type'],
    ['field_invalid', 'audience.user_ids[0]'],
    ['field_invalid', 'data'],
  ]);
});

test('a batch of which nothing was accepted says so by its status, with the same body', async () => {
  const events = [
    { ...EVENT, event_type: 'nonsense' },
    { ...EVENT, foo: 1 },
  ];
  const { status, json } = await rest(listeners, 'POST', '/api/v1/events/batch', { body: { events } });
  expect([status, json.accepted, json.rejected]).toEqual([422, 0, 2]);
  expect(json.results.map(({ error }: { error: { field: string } }) => error.field)).toEqual(['event_type', 'foo']);
});

test('a batch of which nothing could be written is a failed call', async () => {
  listeners.world.failure = Object.assign(new Error('x'), { code: '57P01' });
  const answer = await rest(listeners, 'POST', '/api/v1/events/batch', { body: { events: [EVENT, EVENT] } });
  expect([answer.status, reasonOf(answer)]).toEqual([503, 'store_unavailable']);
});

test('carries the trace of the publisher on, and begins one where there is none', async () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  await publish(EVENT, { traceparent });
  await publish(EVENT, { traceparent: 'x\ty' });
  const [kept, begun] = listeners.world.events.map((event) => event.traceparent);
  expect(kept).toBe(traceparent);
  expect(begun).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
});

test('grpc-js publishes with the .proto alone', async () => {
  const client = grpcJsClient(listeners, 'EventService');
  const request = { event_type: 'order.created', data_json: Buffer.from('{"b":1,"a":2}'), audience: { broadcast: true } };
  const answer = await new Promise((resolve, reject) => {
    (client['PublishEvent'] as (...args: unknown[]) => void).call(
      client,
      request,
      bearer('service:orders'),
      (error: unknown, value: unknown) => (error === null ? resolve(value) : reject(error as Error)),
    );
  });
  client.close();
  expect(answer).toMatchObject({ deliveries: 1 });
  expect(listeners.world.events[0]).toMatchObject({ data: '{"b":1,"a":2}', broadcast: true, publisher: 'orders' });
});

test("answers carry a request id, the caller's own when it is harmless", async () => {
  const own = await rest(listeners, 'GET', '/api/v1/webhooks', { headers: { 'x-request-id': 'order-4711-abc' } });
  expect(own.headers.get('x-request-id')).toBe('order-4711-abc');
  const harmful = await rest(listeners, 'GET', '/api/v1/webhooks', { headers: { 'x-request-id': 'a b"<script>' } });
  expect(harmful.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
});

test('says to browsers what they may do', async () => {
  const allowed = await rest(listeners, 'GET', '/api/v1/webhooks', { headers: { origin: 'https://console.example.com' } });
  expect(allowed.headers.get('access-control-allow-origin')).toBe('https://console.example.com');
  for (const origin of ['https://console.example.com.evil.example', 'https://evil.example', 'null']) {
    const { headers } = await rest(listeners, 'GET', '/api/v1/webhooks', { headers: { origin } });
    expect(headers.get('access-control-allow-origin')).toBeNull();
  }
  expect(allowed.headers.get('x-content-type-options')).toBe('nosniff');
  expect(allowed.headers.get('content-security-policy')).toContain("default-src 'none'");
  const preflight = await fetch(`${listeners.httpUrl}/api/v1/webhooks`, {
    method: 'OPTIONS',
    headers: { origin: 'https://console.example.com', 'access-control-request-method': 'POST' },
  });
  expect([preflight.status, preflight.headers.get('access-control-allow-methods')]).toEqual([
    204,
    'GET, POST, PUT, PATCH, DELETE',
  ]);
});
