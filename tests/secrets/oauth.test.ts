// Receivers that ask for an access token: a real token server, a receiver that asks it about every token, and the whole service before them.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { reencryptSecrets } from '../../src/maintenance/secret-keys.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { startTokenServer, type TokenServer } from '../fixtures/token-server.ts';

const PATIENCE_MS = 60_000;
vi.setConfig({ testTimeout: 2 * PATIENCE_MS });
const sealingKey = `k1:${randomBytes(32).toString('base64')}`;

let database: TestDatabase;
let tokenServer: TokenServer;
let server: Server;
let service: ServiceProcess;
let developer: Rest;
let publisher: Rest;
/** The `Authorization` of each request that the receiver got, by its path. */
let shown: Map<string, (string | undefined)[]>;

const bearer = (header: string | undefined): string => /^Bearer (.+)$/.exec(header ?? '')?.[1] ?? '';
const shownAt = (path: string): string[] => (shown.get(path) ?? []).map(bearer);

beforeAll(async () => {
  tokenServer = await startTokenServer();
  server = createServer((request, response) => void respond(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  database = await createTestDatabase();
  service = await startProcess({
    ...envOf(database.config, null),
    ENVIRONMENT: 'test',
    LOG_LEVEL: 'debug',
    WEBHOOK_ALLOW_HTTP: 'true',
    WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8',
    WEBHOOK_MAX_RETRIES: '2',
    WEBHOOK_RETRY_DELAY: '0.1',
    WEBHOOK_SECRET_KEYS: sealingKey,
  });
  [developer, publisher] = [await service.as('alice'), await service.as('orders', 'service')];
}, PATIENCE_MS);
afterAll(async () => {
  await service?.kill();
  server?.close();
  tokenServer?.close();
  await database?.drop();
});
beforeEach(async () => {
  shown = new Map();
  const { body } = await developer('GET', '/api/v1/webhooks?limit=100');
  for (const { id } of body.webhooks) await developer('DELETE', `/api/v1/webhooks/${id}`);
});

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? '';
  const { authorization } = request.headers;
  shown.set(path, [...(shown.get(path) ?? []), authorization]);
  const isTaken = path !== '/never' && (await tokenServer.scopeOf(bearer(authorization))) === tokenServer.scope;
  request.resume().on('end', () => response.writeHead(isTaken ? 204 : 401).end());
}

const urlOf = (path: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
const oauth = (fields: object = {}) => ({
  oauth: { token_url: tokenServer.tokenUrl, ...tokenServer.client, scope: tokenServer.scope, ...fields },
});

/** What the log has of the deliveries of these events to a webhook, once they have ended. */
async function endOf(webhookId: string, eventIds: readonly string[]): Promise<any[]> {
  return eventually(
    async () => {
      const { body } = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${webhookId}&limit=100`);
      const meant = body.deliveries.filter(({ event_id }: { event_id: string }) => eventIds.includes(event_id));
      const isOver = meant.every(({ status }: { status: string }) => status !== 'pending' && status !== 'retrying');
      return meant.length === eventIds.length && isOver ? meant : null;
    },
    { what: 'the end of the deliveries', deadlineMs: PATIENCE_MS },
  );
}

async function deliveryTo(webhookId: string): Promise<any> {
  const [delivery] = await endOf(webhookId, [await publish(publisher, ['alice'])]);
  return delivery;
}

test('deliveries that begin together share one token, which the receiver takes', async () => {
  const before = tokenServer.issued;
  const { id } = await createWebhook(developer, urlOf('/till'), oauth());
  const eventIds = await Promise.all(Array.from({ length: 20 }, () => publish(publisher, ['alice'])));
  for (const { status } of await endOf(id, eventIds)) expect(status).toBe('delivered');
  expect(new Set(shownAt('/till')).size).toBe(1);
  expect(shownAt('/till')).toHaveLength(20);
  expect(tokenServer.issued - before).toBe(1);
});

test('a token that the receiver takes no longer is replaced for the next attempt, and one that takes none gets no token for each attempt', async () => {
  const { id } = await createWebhook(developer, urlOf('/till'), oauth());
  expect(await deliveryTo(id)).toMatchObject({ status: 'delivered' });
  const [first = ''] = shownAt('/till');
  await tokenServer.revoke(first);
  expect(await deliveryTo(id)).toMatchObject({ status: 'delivered', attempt_count: 2 });
  const [, again, second] = shownAt('/till');
  expect(again).toBe(first);
  expect(second).not.toBe(first);

  const before = tokenServer.issued;
  const never = await createWebhook(developer, urlOf('/never'), oauth());
  expect(await deliveryTo(never.id)).toMatchObject({ status: 'failed', http_status: 401, attempt_count: 3 });
  expect(await deliveryTo(never.id)).toMatchObject({ status: 'failed', http_status: 401, attempt_count: 3 });
  expect(tokenServer.issued - before).toBe(2);
});

test('a client that the token server refuses fails attempts with its reason, until its secret is put right', async () => {
  const { id } = await createWebhook(developer, urlOf('/till'), oauth({ client_secret: 'wrong' }));
  const refused = await deliveryTo(id);
  expect(refused).toMatchObject({ status: 'failed', error_code: 'oauth_token_refused' });
  expect(refused.error_message).toMatch(
    /^The token server gave the webhook no access token\. It answered 401 invalid_client: .+\.$/,
  );
  expect(refused.http_status).toBeUndefined();
  expect(shownAt('/till')).toEqual([]);

  const path = `/api/v1/webhooks/${id}`;
  const steps = async () =>
    (await developer('POST', `${path}/diagnose`, {})).body.steps.map(({ step, result }: any) => `${step} ${result}`);
  expect((await steps()).slice(3)).toEqual(['tls ok', 'token failed']);
  expect((await developer('PATCH', path, oauth())).status).toBe(200);
  expect((await steps()).slice(3, 6)).toEqual(['tls ok', 'token ok', 'ping ok']);
  expect(await deliveryTo(id)).toMatchObject({ status: 'delivered' });
  const tested = await developer('POST', `${path}/test`, { event_type: 'order.created' });
  expect(tested.body).toMatchObject({ success: true });
});

test('a token server that cannot be reached fails attempts and says so', async () => {
  const port = await freePort();
  const { id } = await createWebhook(developer, urlOf('/till'), oauth({ token_url: `http://127.0.0.1:${port}/token` }));
  expect(await deliveryTo(id)).toMatchObject({
    status: 'failed',
    error_code: 'oauth_token_unavailable',
    error_message: 'No access token could be got from the token server. The connection was refused or could not be made.',
  });
  expect(shownAt('/till')).toEqual([]);
});

test('the secret and the tokens are in no answer, no row and no log, and what was read can be sent back without the secret', async () => {
  const created = await createWebhook(developer, urlOf('/read'), oauth());
  const { client_secret, ...given } = oauth().oauth;
  const settings = { ...given, audience: '' };
  expect(created.oauth).toEqual(settings);
  const path = `/api/v1/webhooks/${created.id}`;
  const read = (await developer('GET', path)).body;
  expect(await developer('PUT', path, { ...read, description: 'Till' })).toMatchObject({
    status: 200,
    body: { oauth: settings },
  });
  expect(await deliveryTo(created.id)).toMatchObject({ status: 'delivered' });

  const removed = await developer('PATCH', path, { oauth: null });
  expect(removed.body.oauth).toBeUndefined();
  expect(await deliveryTo(created.id)).toMatchObject({ status: 'failed', http_status: 401 });
  expect(shown.get('/read')?.at(-1)).toBeUndefined();

  const history = (await developer('GET', `${path}/history`)).body;
  const { changes } = history;
  expect(changes[0].fields).toEqual([
    { field: 'oauth', old: `till:7 at ${settings.token_url}, scope ${settings.scope}`, new: null },
  ]);
  const { rows } = await database.pool.query(
    'select w::text as text from webhook_endpoints w union all select d::text from deliveries d union all select a::text from attempts a',
  );
  const everything = [JSON.stringify([created, read, removed, history]), ...service.lines, ...rows.map(({ text }) => text)];
  for (const secret of [client_secret, ...shownAt('/read').filter((token) => token !== '')])
    for (const text of everything) expect(text).not.toContain(secret);
});

test('what could not work, or would carry the secret elsewhere, is refused when it is written, with the field', async () => {
  const made = await createWebhook(developer, urlOf('/'), oauth());
  const webhook = { url: urlOf('/'), events: ['order.created'] };
  const header = { custom_headers: { authorization: 'Bearer mine' } };
  const creations: [object, string, string][] = [
    [oauth({ token_url: 'http://169.254.169.254/token' }), 'endpoint_url_forbidden', 'oauth.token_url'],
    [oauth({ token_url: 'token' }), 'endpoint_url_invalid', 'oauth.token_url'],
    [oauth({ token_url: undefined }), 'field_invalid', 'oauth.token_url'],
    [oauth({ client_id: '' }), 'field_invalid', 'oauth.client_id'],
    [oauth({ client_secret: undefined }), 'field_invalid', 'oauth.client_secret'],
    [oauth({ scope: 'a\nb' }), 'field_invalid', 'oauth.scope'],
    [oauth({ audience: 'x'.repeat(1001) }), 'field_invalid', 'oauth.audience'],
    [{ ...oauth(), ...header }, 'header_forbidden', 'custom_headers["authorization"]'],
  ];
  for (const [fields, reason, field] of creations) {
    const { status, body } = await developer('POST', '/api/v1/webhooks', { ...webhook, ...fields });
    expect([status, body.error]).toMatchObject([400, { reason, details: [{ field }] }]);
    expect(JSON.stringify(body)).not.toContain(tokenServer.client.client_secret);
  }
  const changes: [object, string][] = [
    [oauth({ token_url: urlOf('/collect'), client_secret: undefined }), 'oauth.client_secret'],
    [oauth({ client_id: 'another', client_secret: undefined }), 'oauth.client_secret'],
    [header, 'custom_headers["authorization"]'],
  ];
  for (const [fields, field] of changes) {
    const { status, body } = await developer('PATCH', `/api/v1/webhooks/${made.id}`, fields);
    expect([status, body.error]).toMatchObject([400, { details: [{ field }] }]);
  }
  const narrowed = oauth({ scope: '', client_secret: undefined });
  expect((await developer('PATCH', `/api/v1/webhooks/${made.id}`, narrowed)).body.oauth).toMatchObject({ scope: '' });
});

test('secrets of clients are brought under a new sealing key', async () => {
  await createWebhook(developer, urlOf('/sealed'), oauth());
  const added = `k2:${randomBytes(32).toString('base64')}`;
  expect(await reencryptSecrets(database.pool, new SecretBox([added, sealingKey]))).toMatchObject({ left: 0, unreadable: [] });
  const { rows } = await database.pool.query(
    `select count(*)::int as n from webhook_endpoints where oauth_secret is not null and oauth_secret not like 'v1:k2:%'`,
  );
  expect(rows[0].n).toBe(0);
});
