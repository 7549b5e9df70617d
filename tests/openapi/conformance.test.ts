// Every operation of the OpenAPI document is called on the running service, and what comes back is held to the document.
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { AnySchema } from 'ajv';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';

type Json = Record<string, unknown>;

interface Operation {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly requestExample: Json | undefined;
  readonly requestSchema: Json | undefined;
  readonly responses: Record<string, Json>;
  readonly isOpen: boolean;
}

const source = readFileSync(new URL('../../gen/openapi.json', import.meta.url), 'utf8');
// The document lets answers grow new fields. Here a field that it does not name is a mistake of one of the two.
const document = JSON.parse(source, (_name, value: unknown) => closed(value)) as {
  paths: Record<string, Record<string, Json>>;
  components: Record<string, Record<string, Json>>;
};

function closed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('properties' in value) || !('type' in value)) return value;
  return { additionalProperties: false, ...value };
}

const operations: Operation[] = Object.entries(document.paths).flatMap(([path, verbs]) =>
  Object.entries(verbs).map(([verb, operation]) => {
    const body = ((operation['requestBody'] as Json | undefined)?.['content'] as Json | undefined)?.['application/json'] as
      | Json
      | undefined;
    return {
      id: String(operation['operationId']),
      method: verb.toUpperCase(),
      path,
      requestExample: body?.['example'] as Json | undefined,
      requestSchema: body?.['schema'] as Json | undefined,
      responses: operation['responses'] as Record<string, Json>,
      isOpen: isOpen(operation['security'] as Json[] | undefined),
    };
  }),
);
/** An empty list, or a way in that asks for nothing. */
function isOpen(security: Json[] | undefined): boolean {
  return security !== undefined && (security.length === 0 || security.some((way) => Object.keys(way).length === 0));
}

const operationOf = (id: string): Operation => {
  const found = operations.find((operation) => operation.id === id);
  if (found === undefined) throw new Error(`the document has no operation ${id}`);
  return found;
};

const ajv = new Ajv2020({ strict: false, allErrors: true });
(addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
ajv.addFormat('int32', true).addFormat('double', true);
const valid = (schema: unknown, value: unknown): unknown => {
  const validate = ajv.compile({ components: document.components, ...(schema as object) } as AnySchema);
  void validate(value);
  return validate.errors;
};

const called = new Map<string, number>();
let service: TestApp;
let receiver: Receiver;
let developer: string;
let publisher: string;
let admin: string;
const known: Record<string, string> = {};

beforeAll(async () => {
  receiver = await startReceiver();
  service = await startApp({ env: { WEBHOOK_RETRY_DELAY: '60' } });
  developer = await service.token('user123');
  publisher = await service.token('orders', 'service');
  admin = await service.token('root', 'admin');
});

afterAll(async () => {
  const answers = [...called.values()].reduce((sum, n) => sum + n, 0);
  console.log(
    `OpenAPI conformance: ${called.size} of ${operations.length} operations called, ${answers} answers held to the document`,
  );
  await service?.close();
  await receiver?.close();
});

/** Of a caller who may call it. */
function tokenFor(id: string): string {
  if (id === 'createEventType' || id === 'updateEventType' || id === 'createReplays' || id === 'rotateServiceKey') return admin;
  return id.startsWith('publish') ? publisher : developer;
}

interface Call {
  readonly token?: string | null;
  readonly body?: unknown;
  readonly query?: string;
  readonly headers?: Record<string, string>;
  /** Instead of the ids that are known, each behind the kind of its field. */
  readonly noSuch?: string;
}

/** Calls an operation and holds status and body to the document; answers the body. */
async function call(id: string, expected: number, options: Call = {}): Promise<Json> {
  const operation = operationOf(id);
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    options.noSuch === undefined ? (known[name] ?? '') : name.replace('_id', options.noSuch),
  );
  const token = options.token === undefined ? developer : options.token;
  const body = 'body' in options ? options.body : operation.requestExample;
  const response = await fetch(`${service.http}${path}${options.query ?? ''}`, {
    method: operation.method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  expect({ id, status: response.status, text }).toMatchObject({ id, status: expected });
  const told = operation.responses[String(expected)];
  expect(Object.keys(operation.responses)).toContain(String(expected));
  const content = (resolved(told)['content'] as Json | undefined)?.['application/json'] as Json | undefined;
  called.set(id, (called.get(id) ?? 0) + 1);
  expect(response.headers.get('x-request-id')).toBeTruthy();
  if (content === undefined) return {};
  const answer = JSON.parse(text) as Json;
  expect({ id, errors: valid(content['schema'], answer), answer }).toMatchObject({ id, errors: null });
  return answer;
}

function resolved(value: unknown): Json {
  const reference = (value as Json)['$ref'];
  if (typeof reference !== 'string') return value as Json;
  return reference
    .slice(2)
    .split('/')
    .reduce<unknown>((at, step) => (at as Json)[step], document) as Json;
}

const EVENT = { event_type: 'order.created', data: { order_id: 'o1' }, audience: { user_ids: ['user123'] } };

test('every operation succeeds as the document says', async () => {
  const webhook = await call('createWebhook', 201, {
    body: {
      ...operationOf('createWebhook').requestExample,
      url: receiver.url('/500'),
      custom_headers: { 'X-Team': 'kitchen' },
    },
  });
  known['webhook_id'] = String(webhook['id']);
  await call('listWebhooks', 200, { query: '?page=1&limit=10' });
  await call('getWebhook', 200);
  await call('updateWebhook', 200);
  await call('patchWebhook', 200);
  await call('listServiceKeys', 200);
  await call('rotateServiceKey', 200, { token: admin });
  await call('listEventTypes', 200);
  await call('createEventType', 201, { token: admin });
  known['name'] = String(operationOf('createEventType').requestExample?.['name']);
  await call('getEventType', 200);
  await call('updateEventType', 200, { token: admin });
  const published = await call('publishEvent', 202, { token: publisher });
  known['event_id'] = String(published['event_id']);
  await call('listEvents', 200, { token: publisher, query: '?event_type=order.created&limit=10' });
  await call('getEvent', 200, { token: publisher });
  const batch = await call('publishEvents', 202, { token: publisher });
  // The example shows one of each, and the service agrees.
  expect(batch).toMatchObject({ accepted: 1, rejected: 1 });
  const found = await eventually(
    async () => {
      const list = await call('listDeliveries', 200, { query: '?status=retrying&status=failed&order=asc&limit=10' });
      return (list['deliveries'] as Json[])[0];
    },
    { what: 'a delivery that failed' },
  );
  known['delivery_id'] = String(found['id']);
  const delivery = await call('getDelivery', 200);
  expect(delivery['attempts']).toHaveLength(1);
  const why = await call('explainDelivery', 200, { query: `?delivery_id=${String(found['id'])}` });
  expect(why).toMatchObject({ verdict: 'waiting', event_id: delivery['event_id'] });
  known['event_id'] = String(delivery['event_id']);
  await call('explainEvent', 200, { token: publisher, query: '?user_id=user123' });
  expect(await call('cancelDelivery', 200)).toMatchObject({ status: 'cancelled', cancel_reason: 'caller' });
  await call('retryDelivery', 202);
  await call('testWebhook', 200);
  // What the example says is wrong with a filter, the service says.
  expect(await call('testFilter', 200)).toMatchObject({ match: false, position: 17 });
  await call('diagnoseWebhook', 200);
  await call('diagnoseUrl', 200);
  const looked = await call('createWebhook', 201, { body: { url: receiver.url(), events: ['order.created'], diagnose: true } });
  expect(looked['diagnosis']).toMatchObject({
    verdict: 'ok',
    steps: expect.arrayContaining([expect.objectContaining({ step: 'ping' })]),
  });
  await call('getWebhookStats', 200);
  await call('getOverview', 200);
  await call('rotateSecret', 200);
  await call('getSecret', 200);
  await call('cancelRotation', 200);
  await call('completeRotation', 200);
  await call('pauseWebhook', 200);
  await call('resumeWebhook', 200);
  const replay = await call('createReplay', 202);
  known['replay_id'] = String(replay['id']);
  await call('createReplay', 200, { body: { dry_run: true } });
  await call('createReplays', 202, { token: admin });
  await call('createReplays', 200, { token: admin, body: { user_id: 'user123', dry_run: true } });
  await call('listReplays', 200);
  await call('getReplay', 200);
  await call('pauseReplay', 200);
  await call('resumeReplay', 200);
  await call('cancelReplay', 200);
  await call('getWebhookHistory', 200, { query: '?limit=100' });
  await call('getWebhookKeys', 200, { token: null });
  await call('isLive', 200, { token: null });
  await call('isReady', 200, { token: null });
  await call('getHealth', 200, { token: null });
  await call('getHealth', 200, { token: await service.token('root', 'admin') });
  await call('getFeedStatus', 200);
  await call('watchOverWebSocket', 426);
  const socket = new WebSocket(`${service.http.replace('http', 'ws')}/ws`, ['homechef.v1', `bearer.${developer}`]);
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  socket.close();
  await call('deleteWebhook', 204);
  expect([...called.keys()].toSorted()).toEqual(operations.map(({ id }) => id).toSorted());
});

const guarded = operations.filter((operation) => !operation.isOpen && operation.id !== 'watchOverWebSocket');

test.each(guarded.map(({ id }) => id))('%s without a token, or with a bad one, is the documented 401', async (id) => {
  await call(id, 401, { token: null });
  await call(id, 401, { token: 'x.y.z' });
});

test.each(operations.filter(({ path }) => path.includes('{')).map(({ id }) => id))(
  '%s of what is not there, or of what is no id, is the documented 404',
  async (id) => {
    const [, kind = ''] = /\{(\w+)_id\}/.exec(operationOf(id).path) ?? [];
    const token = kind === 'event' ? publisher : tokenFor(id);
    await call(id, 404, { noSuch: '_01hm5w0qs8f4e2b6d9c1a7g3h5', token });
    await call(id, 404, { noSuch: '-no-id', token });
  },
);

test.each(operations.filter(({ requestSchema }) => requestSchema !== undefined).map(({ id }) => id))(
  '%s refuses what its schema refuses: unknown fields, other media types, no JSON',
  async (id) => {
    const token = tokenFor(id);
    const body = { ...operationOf(id).requestExample, no_such_field: 1 };
    expect(valid(operationOf(id).requestSchema, body)).not.toBeNull();
    const one = {
      token,
      noSuch: '_01hm5w0qs8f4e2b6d9c1a7g3h5',
    };
    await call(id, 400, { ...one, body });
    await call(id, 400, { ...one, body: '{"' });
    await call(id, 415, { ...one, body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  },
);

test('roles, conflicts and sizes are answered as documented', async () => {
  await call('publishEvent', 403, { token: developer });
  await call('publishEvents', 403, { token: developer });
  const keyed = { ...EVENT, idempotency_key: 'conformance' };
  await call('publishEvent', 202, { token: publisher, body: keyed });
  await call('publishEvent', 409, { token: publisher, body: { ...keyed, data: { order_id: 'o2' } } });
  await call('publishEvent', 413, { token: publisher, body: { ...EVENT, data: { text: 'x'.repeat(1_200_000) } } });
});

/** For each limit of a request that a schema states, a body just past it: the schema and the service must agree to refuse it. */
const beyond: { id: string; body: Json }[] = [
  { id: 'createWebhook', body: { events: ['order.created'] } },
  { id: 'createWebhook', body: { url: '', events: ['order.created'] } },
  { id: 'createWebhook', body: { url: `https://example.org/${'x'.repeat(2048)}`, events: ['order.created'] } },
  { id: 'createWebhook', body: { url: 'https://example.org/', events: [] } },
  { id: 'createWebhook', body: { url: 'https://example.org/', events: ['order.created', 'order.created'] } },
  { id: 'createWebhook', body: { url: 'https://example.org/', events: ['order.created'], description: 'x'.repeat(1001) } },
  { id: 'createWebhook', body: { url: 'https://example.org/', events: ['order.created'], retry_policy: { max_retries: 21 } } },
  { id: 'createWebhook', body: { url: 'https://example.org/', events: ['order.created'], retry_policy: { retry_delay: 0 } } },
  { id: 'createWebhook', body: { url: 'https://example.org/', events: ['order.created'], rate_limit: -1 } },
  { id: 'createWebhook', body: { url: 'https://example.org/', events: ['order.created'], scope: 'everything' } },
  { id: 'createEventType', body: { description: 'no name' } },
  { id: 'createEventType', body: { name: 'kitchen.closed', validation: 'maybe' } },
  { id: 'createEventType', body: { name: 'kitchen.closed', description: 'x'.repeat(1001) } },
  { id: 'diagnoseUrl', body: { url: '' } },
  { id: 'diagnoseUrl', body: { url: `https://example.org/${'x'.repeat(2048)}` } },
  { id: 'createWebhook', body: { url: 5, events: ['order.created'] } },
  { id: 'publishEvent', body: { event_type: 'order.created', audience: { broadcast: true } } },
  { id: 'publishEvent', body: { event_type: 'order.created', data: {}, data_json: 'e30=', audience: { broadcast: true } } },
  { id: 'publishEvent', body: { event_type: 'order.created', data: {} } },
  { id: 'publishEvent', body: { ...EVENT, idempotency_key: 'x'.repeat(256) } },
  { id: 'publishEvent', body: { ...EVENT, occurred_at: 'yesterday' } },
  { id: 'publishEvent', body: { ...EVENT, audience: { user_ids: [''] } } },
  { id: 'publishEvents', body: { events: [] } },
];

test.each(beyond)('$id: document and service both refuse $body', async ({ id, body }) => {
  expect(valid(operationOf(id).requestSchema, body)).not.toBeNull();
  await call(id, 400, { token: tokenFor(id), body });
});
