// What a caller can do wrong, a row each: how it is asked, and the one reason that every protocol gives for it.
import type { JsonObject } from '@bufbuild/protobuf';
import type { Reason } from '../../src/domain/errors.ts';
import type { CallerRole } from '../../src/security/tokens.ts';
import { states } from './states.ts';
import { routes, type Ask, type Feature, type Protocol } from './protocols.ts';

export const MAX_PAYLOAD_BYTES = 20_000;
export const MAX_BATCH_BYTES = 300_000;

/** Something of a caller's own, made before the caller does it wrong. */
export interface Scene {
  /** A developer or publisher that no other row uses. */
  readonly user: string;
  /** Makes a webhook of theirs and gives its id. */
  webhook(change?: JsonObject, key?: string): Promise<string>;
  /** Uses up the diagnoses that the user may have in a minute. */
  diagnose(): Promise<void>;
  /** Gives the service a new key, and leaves an overlap under way. */
  rotateServiceKey(): Promise<void>;
  /** Adds a type whose `status` is a text, and gives its name. */
  strictType(): Promise<string>;
  /** Gives the name of a type that so many webhooks of others are subscribed to. */
  crowdedType(webhooks: number): Promise<string>;
  /** Publishes as the user. */
  publish(event: JsonObject): Promise<void>;
  /** Publishes a batch as the user. */
  publishBatch(batch: JsonObject): Promise<void>;
  /** Opens a stream of the user's until the answer is there. */
  watch(): Promise<void>;
  /** Makes every statement wait until the answer is there. */
  lockTables(): Promise<void>;
  /** Calls REST as the user, who is not refused. */
  call(method: string, path: string, body?: JsonObject): Promise<JsonObject>;
  /** Publishes an event to the user, whose webhook takes it, and gives the id of the delivery when it has ended. */
  endedDelivery(more?: JsonObject): Promise<string>;
  /** Publishes two events with one collapse key, and gives the id of the delivery of the older one. */
  supersededDelivery(): Promise<string>;
  /** Gives the id of a webhook to which two test sends are under way, the first with this key, until the answer is there. */
  hangingTests(key: string): Promise<string>;
  /** Changes the database, and changes it back when the answer is there. */
  change(statement: string, back: string): Promise<void>;
}

export interface Row {
  readonly name: string;
  readonly reason: Reason;
  /** Null: any that the protocol can ask, to do it wrong in the headers. */
  readonly rpc: string | null;
  /** `service` for what is about events and `developer` for all else, unless it is said. */
  readonly role?: CallerRole;
  /** Protocols that do not have it cannot do this wrong. */
  readonly needs?: Feature;
  /** Of the field at fault, as the .proto has it. */
  readonly field?: string | ((protocol: Protocol) => string);
  /** The request, which a protobuf library can write as well. */
  readonly message?: JsonObject | ((scene: Scene) => Promise<JsonObject>);
  /** The request as only JSON (or a query, when it is an object) can have it. */
  readonly text?: string | JsonObject;
  readonly ask?: (ask: Ask) => Partial<Ask>;
  readonly before?: (scene: Scene) => Promise<void>;
  /** On the service that lets a developer call once a minute. */
  readonly isRateLimited?: true;
}

const AUDIENCE = { user_ids: ['nobody'] };
const event = (more: JsonObject = {}): JsonObject => ({
  event_type: 'order.created',
  data_json: base64('{}'),
  audience: AUDIENCE,
  ...more,
});
const payload = (text: string): JsonObject => event({ data_json: base64(text) });
const webhook = (more: JsonObject = {}): JsonObject => ({
  url: 'https://example.com/hook',
  events: ['order.created'],
  ...more,
});
/** The text of an event, with these fields in place of its payload. */
const eventText = (fields: string): string => `{"event_type":"order.created","audience":{"user_ids":["nobody"]},${fields}}`;
const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

const PUBLISH = 'PublishEvent';
const CREATE = 'CreateWebhook';

const headers: readonly Row[] = [
  { name: 'no token', reason: 'token_missing', rpc: null, needs: 'token', ask: () => ({ token: null }) },
  { name: 'a token that is none', reason: 'token_invalid', rpc: null, needs: 'token', ask: () => ({ token: 'x.y.z' }) },
  {
    name: 'two tokens',
    reason: 'token_invalid',
    rpc: null,
    needs: 'token',
    ask: ({ token }) => ({ token: [String(token), String(token)] }),
  },
  {
    name: 'no token and no message',
    reason: 'token_missing',
    rpc: null,
    needs: 'token',
    ask: () => ({ token: null, isMalformed: true }),
  },
  { name: 'a role that may not', reason: 'role_not_allowed', rpc: PUBLISH, role: 'developer', message: event() },
  {
    name: 'a role that may not, and no message',
    reason: 'role_not_allowed',
    rpc: PUBLISH,
    role: 'developer',
    message: event(),
    ask: () => ({ isMalformed: true }),
  },
  { name: 'no message', reason: 'body_malformed', rpc: null, needs: 'body', ask: () => ({ isMalformed: true }) },
  {
    name: 'an unknown encoding',
    reason: 'encoding_unsupported',
    rpc: null,
    needs: 'encoding',
    ask: () => ({ encoding: 'zstd' }),
  },
  {
    name: 'an unknown media type',
    reason: 'media_type_unsupported',
    rpc: null,
    needs: 'media type',
    ask: () => ({ contentType: 'text/plain' }),
  },
  {
    name: 'a deadline that is none',
    reason: 'field_invalid',
    rpc: null,
    needs: 'deadline',
    field: ({ deadlineHeader = '' }) => deadlineHeader,
    ask: () => ({ deadline: 'soon' }),
  },
  {
    name: 'a deadline that passes',
    reason: 'deadline_exceeded',
    rpc: null,
    needs: 'deadline',
    ask: () => ({ deadline: '300' }),
    before: (scene) => scene.lockTables(),
  },
  {
    name: 'a call there is not',
    reason: 'unimplemented',
    rpc: null,
    needs: 'rpc path',
    ask: () => ({ path: '/homechef.webhook.v1.EventService/Nothing' }),
  },
  {
    name: 'a method that is not taken',
    reason: 'method_not_allowed',
    rpc: null,
    needs: 'rpc path',
    ask: () => ({ method: 'PUT' }),
  },
  {
    name: 'a method that REST does not take',
    reason: 'method_not_allowed',
    rpc: null,
    needs: 'rest path',
    ask: () => ({ method: 'PROPFIND' }),
  },
  {
    name: 'a path there is not',
    reason: 'route_not_found',
    rpc: null,
    needs: 'rest path',
    ask: () => ({ path: '/api/v1/nothing' }),
  },
  {
    name: 'a WebSocket’s path without one',
    reason: 'upgrade_required',
    rpc: 'ListWebhooks',
    needs: 'rest path',
    ask: () => ({ path: '/ws' }),
  },
  {
    name: 'more calls than one may make',
    reason: 'rate_limited',
    rpc: null,
    role: 'developer',
    isRateLimited: true,
  },
];

const texts: readonly Row[] = [
  {
    name: 'an unknown field',
    reason: 'field_unknown',
    field: 'idempotency_kye',
    text: eventText('"data":{},"idempotency_kye":"k"'),
  },
  {
    name: 'an unknown field within',
    reason: 'field_unknown',
    field: 'audience.x',
    text: '{"event_type":"order.created","data":{},"audience":{"x":1}}',
  },
  {
    name: 'a number for text',
    reason: 'field_invalid',
    field: 'event_type',
    text: '{"event_type":5,"data":{},"audience":{"broadcast":true}}',
  },
  {
    name: 'text for a truth',
    reason: 'field_invalid',
    field: 'audience.broadcast',
    text: '{"event_type":"order.created","data":{},"audience":{"broadcast":"yes"}}',
  },
  {
    name: 'text for a list',
    reason: 'field_invalid',
    field: 'audience.user_ids',
    text: '{"event_type":"order.created","data":{},"audience":{"user_ids":"a"}}',
  },
  { name: 'a list for a payload', reason: 'field_invalid', field: 'data', text: eventText('"data":[1]') },
  { name: 'bad base64', reason: 'field_invalid', field: 'data_json', text: eventText('"data_json":"e30*"') },
  { name: 'both payloads', reason: 'field_invalid', field: 'data_json', text: eventText('"data":{},"data_json":"e30="') },
  {
    name: 'a time that is none',
    reason: 'field_invalid',
    field: 'occurred_at',
    text: eventText('"data":{},"occurred_at":"yesterday"'),
  },
  {
    name: 'a day there is not',
    reason: 'field_invalid',
    field: 'occurred_at',
    text: eventText('"data":{},"occurred_at":"2026-02-30T00:00:00Z"'),
  },
  {
    name: 'an hour there is not',
    reason: 'field_invalid',
    field: 'occurred_at',
    text: eventText('"data":{},"occurred_at":"2026-02-28T24:00:00Z"'),
  },
  {
    name: 'text with a lone surrogate',
    reason: 'field_invalid',
    field: 'idempotency_key',
    text: eventText('"data":{},"idempotency_key":"\\ud800"'),
  },
  { name: 'a payload that is too deep', reason: 'payload_too_deep', field: 'data', text: eventText(`"data":${deep(33)}`) },
  { name: 'a body that is too deep', reason: 'payload_too_deep', field: 'data', text: eventText(`"data":${deep(200)}`) },
  {
    name: 'a key of the payload twice',
    reason: 'key_duplicate',
    field: 'data.tip',
    text: eventText('"data":{"tip":1,"tip":2}'),
  },
  {
    name: 'a field twice',
    reason: 'key_duplicate',
    field: 'audience',
    text: eventText('"data":{},"audience":{"broadcast":true}'),
  },
  {
    name: 'an integer that a double changes',
    reason: 'payload_number_not_representable',
    field: 'data.n',
    text: eventText('"data":{"n":9007199254740993}'),
  },
  {
    name: 'a number beyond a double',
    reason: 'payload_number_not_representable',
    field: 'data',
    text: eventText('"data":{"n":1e400}'),
  },
  {
    name: 'a key that sets a prototype',
    reason: 'payload_key_forbidden',
    field: 'data',
    text: eventText('"data":{"__proto__":1}'),
  },
].map((row): Row => ({ rpc: PUBLISH, ...(row as Omit<Row, 'rpc'>) }));

const lists: readonly Row[] = [
  {
    name: 'a filter there is not',
    reason: 'field_unknown',
    rpc: 'ListDeliveries',
    field: 'statsu',
    text: { statsu: 'failed' },
  },
  { name: 'a status there is not', reason: 'field_invalid', rpc: 'ListDeliveries', field: 'status', text: { status: 'lost' } },
  { name: 'text for a number', reason: 'field_invalid', rpc: 'ListDeliveries', field: 'limit', text: { limit: 'ten' } },
  { name: 'more than a page holds', reason: 'field_invalid', rpc: 'ListDeliveries', field: 'limit', message: { limit: 1000 } },
  {
    name: 'since a day there is not',
    reason: 'field_invalid',
    rpc: 'ListDeliveries',
    field: 'since',
    text: { since: '2026-02-30T00:00:00Z' },
  },
  {
    name: 'a filter that is no id',
    reason: 'field_invalid',
    rpc: 'ListDeliveries',
    field: 'webhook_id',
    message: { webhook_id: 'x' },
  },
  {
    name: 'a range that ends before it begins',
    reason: 'time_range_invalid',
    rpc: 'ListDeliveries',
    field: 'until',
    message: { since: '2026-02-02T00:00:00Z', until: '2026-02-01T00:00:00Z' },
  },
  {
    name: 'one of several statuses that there is not',
    reason: 'field_invalid',
    rpc: 'ListDeliveries',
    field: 'statuses[1]',
    text: { statuses: ['failed', 'lost'] },
  },
  {
    name: 'one of several webhooks that is none',
    reason: 'field_invalid',
    rpc: 'ListDeliveries',
    field: 'webhook_ids[1]',
    message: { webhook_ids: [`webhook_${'0'.repeat(26)}`, 'x'] },
  },
  { name: 'an order there is not', reason: 'field_invalid', rpc: 'ListDeliveries', field: 'order', text: { order: 'random' } },
  {
    name: 'an answer that HTTP does not have',
    reason: 'field_invalid',
    rpc: 'ListDeliveries',
    field: 'http_status',
    message: { http_status: 99 },
  },
  {
    name: 'an error that no attempt has',
    reason: 'field_invalid',
    rpc: 'ListDeliveries',
    field: 'error_code',
    message: { error_code: 'tired' },
  },
  {
    name: 'webhooks of a type there is not',
    reason: 'event_type_unknown',
    rpc: 'ListWebhooks',
    field: 'event_type',
    message: { event_type: 'order.eaten' },
  },
  {
    name: 'webhooks that are active perhaps',
    reason: 'field_invalid',
    rpc: 'ListWebhooks',
    field: 'is_active',
    text: { is_active: 'perhaps' },
  },
  {
    name: 'a page token that is none',
    reason: 'page_token_invalid',
    rpc: 'ListDeliveries',
    field: 'page_token',
    message: { page_token: 'x' },
  },
  ...['ListDeliveries', 'ListWebhooks', 'WatchDeliveries', 'WatchEvents'].map((rpc): Row => ({
    name: `another’s data: ${rpc}`,
    reason: 'role_not_allowed',
    rpc,
    field: 'user_id',
    message: { user_id: 'somebody-else' },
  })),
  {
    name: 'another’s events',
    reason: 'role_not_allowed',
    rpc: 'ListEvents',
    field: 'publisher',
    message: { publisher: 'somebody-else' },
  },
  {
    name: 'a page token of another list',
    reason: 'page_token_invalid',
    rpc: 'ListEvents',
    field: 'page_token',
    message: { page_token: Buffer.from(`v1:webhook_${'0'.repeat(26)}`).toString('base64url') },
  },
  { name: 'to look at events as a developer', reason: 'role_not_allowed', rpc: 'ListEvents', role: 'developer', message: {} },
  {
    name: 'to watch a status there is not',
    reason: 'field_invalid',
    rpc: 'WatchDeliveries',
    field: 'statuses[0]',
    text: { statuses: ['lost'] },
  },
  {
    name: 'to watch what is no field',
    reason: 'field_unknown',
    rpc: 'WatchDeliveries',
    field: 'webhook',
    text: { webhook: 'x' },
  },
  {
    name: 'to watch what is no id',
    reason: 'field_invalid',
    rpc: 'WatchDeliveries',
    field: 'webhook_ids[0]',
    message: { webhook_ids: ['x'] },
  },
  {
    name: 'to watch from nowhere',
    reason: 'cursor_invalid',
    rpc: 'WatchDeliveries',
    field: 'after',
    message: { after: 'yesterday' },
  },
  {
    name: 'to watch more than one may',
    reason: 'watcher_limit_reached',
    rpc: 'WatchDeliveries',
    message: {},
    before: (scene) => scene.watch(),
  },
];

const watchedEvents: readonly Row[] = [
  {
    name: 'to watch a type of events there is not',
    reason: 'event_type_unknown',
    rpc: 'WatchEvents',
    field: 'event_types[1]',
    message: { event_types: ['order.*', 'order.creatde'] },
  },
  {
    name: 'to watch events by a filter that does not parse',
    reason: 'filter_invalid',
    rpc: 'WatchEvents',
    field: 'filter',
    message: { filter: '$.total_amount >' },
  },
  {
    name: 'to watch events from nowhere',
    reason: 'cursor_invalid',
    rpc: 'WatchEvents',
    field: 'after',
    message: { after: 'yesterday' },
  },
  {
    name: 'to watch events in more streams than one may',
    reason: 'watcher_limit_reached',
    rpc: 'WatchEvents',
    message: {},
    before: (scene) => scene.watch(),
  },
];

const events: readonly Row[] = [
  { name: 'no event type', reason: 'field_invalid', field: 'event_type', message: event({ event_type: '' }) },
  {
    name: 'an event type there is not',
    reason: 'event_type_unknown',
    field: 'event_type',
    message: event({ event_type: 'order.eaten' }),
  },
  {
    name: 'a user without a name',
    reason: 'field_invalid',
    field: 'audience.user_ids[0]',
    message: event({ audience: { user_ids: [''] } }),
  },
  { name: 'nobody', reason: 'audience_missing', field: 'audience', message: event({ audience: {} }) },
  { name: 'no payload', reason: 'field_invalid', field: 'data', message: { event_type: 'order.created', audience: AUDIENCE } },
  { name: 'long ago', reason: 'field_invalid', field: 'occurred_at', message: event({ occurred_at: '2001-01-01T00:00:00Z' }) },
  {
    name: 'to be delivered before a day there is not',
    reason: 'field_invalid',
    field: 'deliver_before',
    text: JSON.stringify(event({ deliver_before: '2026-02-30T00:00:00Z' })),
  },
  { name: 'text that is a list', reason: 'payload_not_object', field: 'data_json', message: payload('[1]') },
  { name: 'text that is no JSON', reason: 'payload_malformed', field: 'data_json', message: payload('{') },
  { name: 'text that is too deep', reason: 'payload_too_deep', field: 'data_json', message: payload(deep(33)) },
  { name: 'text with a key twice', reason: 'key_duplicate', field: 'data_json.tip', message: payload('{"tip":1,"tip":2}') },
  {
    name: 'text with an integer that a double changes',
    reason: 'payload_number_not_representable',
    field: 'data_json.n',
    message: payload('{"n":9007199254740993}'),
  },
  {
    name: 'text with a number beyond a double',
    reason: 'payload_number_not_representable',
    field: 'data_json',
    message: payload('{"n":1e400}'),
  },
  {
    name: 'text with a key that sets a prototype',
    reason: 'payload_key_forbidden',
    field: 'data_json',
    message: payload('{"__proto__":1}'),
  },
  {
    name: 'text that is too long',
    reason: 'payload_too_large',
    field: 'data_json',
    message: payload(`{"a":"${'x'.repeat(MAX_PAYLOAD_BYTES)}"}`),
  },
  { name: 'an empty ordering key', reason: 'field_invalid', field: 'ordering_key', message: event({ ordering_key: '' }) },
  {
    name: 'an ordering key that is too long',
    reason: 'field_invalid',
    field: 'ordering_key',
    message: event({ ordering_key: 'x'.repeat(256) }),
  },
  {
    name: 'an ordering key with a control character',
    reason: 'field_invalid',
    field: 'ordering_key',
    message: event({ ordering_key: 'a\u0085' }),
  },
  {
    name: 'a broadcast in order',
    reason: 'field_invalid',
    field: 'ordering_key',
    message: event({ ordering_key: 'a', audience: { broadcast: true } }),
  },
  { name: 'an empty collapse key', reason: 'field_invalid', field: 'collapse_key', message: event({ collapse_key: '' }) },
  {
    name: 'a collapse key that is too long',
    reason: 'field_invalid',
    field: 'collapse_key',
    message: event({ collapse_key: 'x'.repeat(256) }),
  },
  {
    name: 'a collapse key with a control character',
    reason: 'field_invalid',
    field: 'collapse_key',
    message: event({ collapse_key: 'a\u0085' }),
  },
  {
    name: 'a broadcast with a collapse key',
    reason: 'field_invalid',
    field: 'collapse_key',
    message: event({ collapse_key: 'a', audience: { broadcast: true } }),
  },
  {
    name: 'the key of another event',
    reason: 'idempotency_key_reused',
    field: 'idempotency_key',
    message: event({ idempotency_key: 'once' }),
    before: (scene: Scene) => scene.publish(event({ idempotency_key: 'once', data_json: base64('{"n":1}') })),
  },
].map((row): Row => ({ rpc: PUBLISH, ...(row as Omit<Row, 'rpc'>) }));

/** What a call needs beside its path before it is looked at whether the thing is there. */
const needed: Readonly<Record<string, JsonObject>> = { TestFilter: { data: {} } };

const webhooks: readonly Row[] = [
  {
    name: 'a request that is too long',
    reason: 'message_too_large',
    rpc: CREATE,
    message: webhook({ description: 'x'.repeat(300_000) }),
  },
  {
    name: 'a batch that is too long',
    reason: 'batch_too_large',
    rpc: 'PublishEvents',
    message: { events: [payload(`{"a":"${'x'.repeat(MAX_BATCH_BYTES)}"}`)] },
  },
  {
    name: 'the key of another batch',
    reason: 'idempotency_key_reused',
    rpc: 'PublishEvents',
    field: 'idempotency_key',
    message: { events: [event()], idempotency_key: 'once' },
    before: (scene) => scene.publishBatch({ events: [event(), event()], idempotency_key: 'once' }),
  },
  {
    name: 'the key of another webhook',
    reason: 'idempotency_key_reused',
    rpc: CREATE,
    field: 'idempotency_key',
    message: webhook({ idempotency_key: 'once', description: 'another' }),
    before: async (scene) => void (await scene.webhook({}, 'once')),
  },
  {
    name: 'a key of 256 characters',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'idempotency_key',
    message: webhook(),
    ask: () => ({ headers: { 'idempotency-key': 'k'.repeat(256) } }),
  },
  {
    name: 'one key in the header and another in the field',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'idempotency_key',
    message: webhook({ idempotency_key: 'one' }),
    ask: () => ({ headers: { 'idempotency-key': 'another' } }),
  },
  {
    name: 'an unknown field of a webhook',
    reason: 'field_unknown',
    rpc: CREATE,
    field: 'retry_policy.delay',
    text: JSON.stringify(webhook({ retry_policy: { delay: 1 } })),
  },
  {
    name: 'a scope there is not',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'scope',
    text: JSON.stringify(webhook({ scope: 'platfrom' })),
  },
  {
    name: 'a limit beyond what may be',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'rate_limit',
    message: webhook({ rate_limit: 99_999 }),
  },
  { name: 'a webhook for nothing', reason: 'field_invalid', rpc: CREATE, field: 'events', message: webhook({ events: [] }) },
  {
    name: 'a webhook for what there is not',
    reason: 'event_type_unknown',
    rpc: CREATE,
    field: 'events[0]',
    message: webhook({ events: ['order.eaten'] }),
  },
  {
    name: 'a type there is already',
    reason: 'event_type_exists',
    rpc: 'CreateEventType',
    role: 'admin',
    field: 'name',
    message: { name: 'order.created' },
  },
  {
    name: 'a type with a name that is none',
    reason: 'field_invalid',
    rpc: 'CreateEventType',
    role: 'admin',
    field: 'name',
    message: { name: 'Order' },
  },
  {
    name: 'a replay since a day there is not',
    reason: 'field_invalid',
    rpc: 'CreateReplay',
    field: 'since',
    text: { webhook_id: `webhook_${'0'.repeat(26)}`, since: '2026-02-30T00:00:00Z' },
  },
  {
    name: 'a schema that is none',
    reason: 'field_invalid',
    rpc: 'CreateEventType',
    role: 'admin',
    field: 'schema.type',
    text: '{"name":"kitchen.opened","schema":{"type":"text"}}',
  },
  {
    name: 'a schema that takes something back',
    reason: 'schema_incompatible',
    rpc: 'UpdateEventType',
    role: 'admin',
    field: 'schema.properties.status.const',
    message: async (scene) => ({ name: await scene.strictType(), schema: { properties: { status: { const: 'new' } } } }),
  },
  {
    name: 'a payload that its schema does not allow',
    reason: 'payload_schema_mismatch',
    rpc: PUBLISH,
    role: 'service',
    field: 'data.status',
    message: async (scene) => ({ ...payload('{"status":1}'), event_type: await scene.strictType() }),
  },
  {
    name: 'a validation there is not',
    reason: 'field_invalid',
    rpc: 'CreateEventType',
    role: 'admin',
    field: 'validation',
    text: '{"name":"kitchen.opened","validation":"maybe"}',
  },
  {
    name: 'a URL that is none',
    reason: 'endpoint_url_invalid',
    rpc: CREATE,
    field: 'url',
    message: webhook({ url: 'ftp://example.com' }),
  },
  {
    name: 'a URL of the machine itself',
    reason: 'endpoint_url_forbidden',
    rpc: CREATE,
    field: 'url',
    message: webhook({ url: 'http://169.254.169.254/' }),
  },
  {
    name: 'a filter that does not parse',
    reason: 'filter_invalid',
    rpc: CREATE,
    field: 'filter',
    message: webhook({ filter: '$.total_amount >' }),
  },
  {
    name: 'a header of the protocol',
    reason: 'header_forbidden',
    rpc: CREATE,
    field: 'custom_headers["Host"]',
    message: webhook({ custom_headers: { Host: 'x' } }),
  },
  {
    name: 'a webhook for somebody else',
    reason: 'role_not_allowed',
    rpc: CREATE,
    field: 'user_id',
    message: webhook({ user_id: 'somebody-else' }),
  },
  {
    name: 'one webhook too many',
    reason: 'webhook_limit_reached',
    rpc: CREATE,
    message: async (scene) => (await scene.webhook(), webhook()),
  },
  {
    name: 'a replay to a webhook that is off',
    reason: 'webhook_inactive',
    rpc: 'CreateReplay',
    message: async (scene) => ({ webhook_id: await scene.webhook({ is_active: false }) }),
  },
  {
    name: 'to explain neither an event nor a delivery',
    reason: 'field_invalid',
    rpc: 'ExplainDelivery',
    field: 'event_id',
    message: async (scene) => ({ webhook_id: await scene.webhook() }),
  },
  {
    name: 'to explain an event that there is not',
    reason: 'not_found',
    rpc: 'ExplainDelivery',
    message: async (scene) => ({ webhook_id: await scene.webhook(), event_id: `event_${'0'.repeat(26)}` }),
  },
  {
    name: 'to diagnose no URL',
    reason: 'field_invalid',
    rpc: 'DiagnoseUrl',
    field: 'url',
    message: { url: '' },
  },
  {
    name: 'one diagnosis too many',
    reason: 'diagnose_limit_reached',
    rpc: 'DiagnoseUrl',
    message: async (scene) => (await scene.diagnose(), { url: 'ftp://example.com/' }),
  },
  {
    name: 'to register and diagnose with no diagnosis left',
    reason: 'diagnose_limit_reached',
    rpc: CREATE,
    message: async (scene) => (await scene.diagnose(), webhook({ diagnose: true })),
  },
  {
    name: 'signatures without an HMAC',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'signatures',
    message: webhook({ signatures: ['SIGNATURE_ED25519'] }),
  },
  {
    name: 'a signature twice',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'signatures',
    message: webhook({ signatures: ['SIGNATURE_HMAC', 'SIGNATURE_HMAC'] }),
  },
  {
    name: 'a client certificate that is none',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'client_certificate.certificate',
    message: webhook({ client_certificate: { certificate: 'none', key: 'none' } }),
  },
  {
    name: 'a key without its client certificate',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'client_certificate.certificate',
    message: webhook({ client_certificate: { key: 'none' } }),
  },
  {
    name: 'a path of a field mask that is none',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'fields[1]',
    message: webhook({ fields: ['$.order_id', '$.items[0]'] }),
  },
  {
    name: 'a client of a token server without its secret',
    reason: 'field_invalid',
    rpc: CREATE,
    field: 'oauth.client_secret',
    message: webhook({ oauth: { token_url: 'https://id.example/token', client_id: 'till' } }),
  },
  {
    name: 'a token URL that webhooks may not reach',
    reason: 'endpoint_url_forbidden',
    rpc: CREATE,
    field: 'oauth.token_url',
    message: webhook({ oauth: { token_url: 'https://169.254.169.254/token', client_id: 'till', client_secret: 's' } }),
  },
  {
    name: 'a rotation of the service key while one is under way',
    reason: 'rotation_running',
    rpc: 'RotateServiceKey',
    role: 'admin',
    message: async (scene) => (await scene.rotateServiceKey(), { overlap_hours: 1 }),
  },
  {
    name: 'to take back a rotation that is not under way',
    reason: 'rotation_not_running',
    rpc: 'CancelRotation',
    message: async (scene) => ({ webhook_id: await scene.webhook() }),
  },
  // Every call that is about one thing, as its path says.
  ...[...new Map(routes.map((route) => [route.method.name, route])).values()].flatMap(
    ({ method: { name: rpc }, pathFields }): Row[] => {
      const [field = ''] = pathFields;
      const kind = field.replace(/_id$/, '');
      if (field === '') return [];
      const role = rpc === 'UpdateEventType' ? 'admin' : 'developer';
      // A name is no id: there is no form that it must have.
      if (field === 'name')
        return [{ name: `${rpc} of no type`, reason: 'not_found', rpc, role, message: { name: 'no.such' } }];
      return [
        { name: `${rpc} of no ${kind}`, reason: 'not_found', rpc, message: { ...noneOf(pathFields), ...needed[rpc] } },
        { name: `${rpc} of what is no id`, reason: 'not_found', rpc, field, message: { [field]: `${kind}_1` } },
      ];
    },
  ),
];

export const rows: readonly Row[] = [...headers, ...texts, ...lists, ...watchedEvents, ...events, ...webhooks, ...states];

/** Ids that nothing has, each in its field. */
function noneOf(fields: readonly string[]): JsonObject {
  return Object.fromEntries(fields.map((field) => [field, field.replace(/id$/, '0'.repeat(26))]));
}

/** Reasons that no caller causes but the service and what it needs, and where they are tried. */
export const elsewhere: Readonly<Partial<Record<Reason, string>>> = {
  overloaded: 'tests/transport/order-of-checks.test.ts',
  store_unavailable: 'tests/transport/same-error.test.ts',
  keys_unavailable: 'tests/security/key-set.test.ts',
  shutting_down: 'tests/transport/websocket.test.ts',
  request_canceled: 'tests/transport/observe.test.ts',
  internal: 'tests/transport/same-error.test.ts',
};
