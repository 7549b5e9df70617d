// A program that reads a webhook, changes it and writes it back: nothing that it did not mean to change changes, and no other change is lost.
import { ConnectError, createClient, type Interceptor } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { WebhookSchema, WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { restClient, type Rest, type RestAnswer } from '../fixtures/rest.ts';

const PATIENCE_MS = 60_000;

let database: TestDatabase;
let service: ServiceProcess;
let token: string;
let rest: Rest;
beforeAll(async () => {
  database = await createTestDatabase();
  const env = { ...envOf(database.config, null), ENVIRONMENT: 'test', MAX_WEBHOOKS_PER_USER: '50' };
  service = await startProcess(env);
  token = await service.token('alice');
  rest = restClient(service.http, token);
}, PATIENCE_MS);
afterAll(async () => {
  await service.kill();
  await database.drop();
});

let created: RestAnswer;
let path: string;
beforeEach(async () => {
  const made = await rest('POST', '/api/v1/webhooks', {
    url: 'https://example.com/hook',
    events: ['order.created', 'order.completed'],
    description: 'orders',
    custom_headers: { 'X-Key': 'value' },
    retry_policy: { max_retries: 7, timeout: 5 },
    rate_limit: 10,
  });
  created = made;
  path = `/api/v1/webhooks/${made.body.id}`;
});

test('a new webhook says where it is and which state it is in', () => {
  expect([created.status, created.headers.get('location'), created.headers.get('etag')]).toEqual([
    201,
    path,
    `"${created.body.etag}"`,
  ]);
});

test('what GET answers can be put back as it is, and changes nothing but the state’s name and time', async () => {
  const { body: before, headers } = await rest('GET', path);
  expect(headers.get('etag')).toBe(`"${before.etag}"`);
  for (const verb of ['PUT', 'PATCH']) {
    const { body: read } = await rest('GET', path);
    const { status, body } = await rest(verb, path, read);
    expect([status, { ...body, etag: '', updated_at: '' }]).toEqual([200, { ...before, etag: '', updated_at: '' }]);
    expect(body.etag).not.toBe(read.etag);
  }
  // Nor does it make the service's defaults the webhook's own.
  const { rows } = await database.pool.query('select retry_policy from webhook_endpoints where id = $1', [before.id]);
  expect(rows[0].retry_policy).toEqual({ max_retries: 7, timeout: 5 });
});

test('a field that cannot be changed is refused by name when it is, over PUT and PATCH', async () => {
  const changed = {
    id: 'webhook_01hm5w0qs8f4e2b6d9c1a7g3h5',
    user_id: 'mallory',
    scope: 'platform',
    secret_hint: 'xxxx',
    created_at: '2020-01-01T00:00:00Z',
    rotation_ends_at: '2040-01-01T00:00:00Z',
  };
  for (const [field, value] of Object.entries(changed)) {
    const { status, body } = await rest('PATCH', path, { [field]: value, description: 'not written' });
    expect([status, body.error.reason, body.error.details[0].field]).toEqual([400, 'field_invalid', field]);
  }
  expect((await rest('GET', path)).body.description).toBe('orders');
});

test('a change that was meant for an earlier state is 412 with the present one, whichever way the state is named', async () => {
  const { body: read } = await rest('GET', path);
  const stale = `"${read.etag}"`;
  expect((await rest('PATCH', path, { description: 'first' }, { 'if-match': stale })).status).toBe(200);
  const late = [
    await rest('PATCH', path, { description: 'second' }, { 'if-match': stale }),
    await rest('PUT', path, { ...read, updated_at: undefined, description: 'second' }),
    await rest('DELETE', path, undefined, { 'if-match': stale }),
    await rest('PATCH', path, { description: 'second' }, { 'if-match': `W/${stale}` }),
  ];
  for (const { status, body, headers } of late) {
    expect([status, body.error.reason, body.error.current.description]).toEqual([412, 'etag_mismatch', 'first']);
    expect(headers.get('etag')).toBe(`"${body.error.current.etag}"`);
  }
  const [{ body }] = late as [RestAnswer, ...RestAnswer[]];
  expect((await rest('PATCH', path, { description: 'x' }, { 'if-match': 'none' })).body.error.details[0].field).toBe('etag');
  expect((await rest('PATCH', path, { description: 'third' }, { 'if-match': '*' })).status).toBe(200);
  expect((await rest('DELETE', path, undefined, { 'if-match': `"${body.error.current.etag}"` })).status).toBe(412);
  const { body: last } = await rest('GET', path);
  expect((await rest('DELETE', path, undefined, { 'if-match': `"${last.etag}"` })).status).toBe(204);
});

test('over gRPC a stale etag is failed_precondition, with the webhook among the details', async () => {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const client = createClient(
    WebhookService,
    createGrpcTransport({ baseUrl: `http://${service.grpc}`, interceptors: [authorize] }),
  );
  const webhookId = path.split('/').at(-1) ?? '';
  const { etag } = await client.getWebhook({ webhookId });
  await client.updateWebhook({ webhookId, etag, description: 'first' });
  const error = await client.updateWebhook({ webhookId, etag, description: 'second' }).then(
    () => null,
    (thrown: unknown) => ConnectError.from(thrown),
  );
  expect(error?.findDetails(ErrorInfoSchema)[0]?.reason).toBe('etag_mismatch');
  expect(error?.findDetails(WebhookSchema)[0]).toMatchObject({ id: webhookId, description: 'first' });
});

test('null puts a field back to its default, an empty list is refused, and what has no default says so', async () => {
  const defaults = (await rest('POST', '/api/v1/webhooks', { url: 'https://example.com/', events: ['order.created'] })).body;
  const once = await rest('PATCH', path, { retry_policy: { timeout: null } });
  expect(once.body.retry_policy).toEqual({ ...defaults.retry_policy, max_retries: 7 });
  const all = await rest('PATCH', path, { retry_policy: null, description: null, custom_headers: null, rate_limit: null });
  expect(all.body).toMatchObject({ retry_policy: defaults.retry_policy, description: '', custom_headers: {}, rate_limit: 0 });
  expect((await rest('PATCH', path, { reset: ['rate_limit'], rate_limit: 3 })).body.rate_limit).toBe(3);
  for (const [field, value] of Object.entries({ url: null, events: null, is_active: null })) {
    const { status, body } = await rest('PATCH', path, { [field]: value });
    expect([status, body.error.details[0].field]).toEqual([400, field]);
  }
  const empty = await rest('PUT', path, { events: [] });
  expect([empty.status, empty.body.error.details[0].field]).toEqual([400, 'events']);
  expect((await rest('GET', path)).body.events).toEqual(['order.created', 'order.completed']);
});
