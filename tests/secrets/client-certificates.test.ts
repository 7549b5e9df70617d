// Receivers with mutual TLS: a real server that demands a certificate of its own authority, and the whole service before it.
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { reencryptSecrets } from '../../src/maintenance/secret-keys.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { freePort } from '../fixtures/ports.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';

const PATIENCE_MS = 60_000;
vi.setConfig({ testTimeout: 2 * PATIENCE_MS });
const sealingKey = `k1:${randomBytes(32).toString('base64')}`;
const directory = mkdtempSync(join(tmpdir(), 'client-certificates-'));
const pem = (name: string): string => readFileSync(join(directory, name), 'utf8');
const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const shown = (name: string) => ({ client_certificate: { certificate: pem(`${name}.pem`), key: pem(`${name}.key`) } });

/** Signed by the authority that the server trusts. */
function issue(name: string, extension: string, days: string): void {
  writeFileSync(join(directory, `${name}.ext`), extension);
  openssl('req', ...newKey, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
  const authority = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
  openssl('x509', '-req', '-in', `${name}.csr`, ...authority, '-days', days, '-extfile', `${name}.ext`, '-out', `${name}.pem`);
}

let database: TestDatabase;
let server: Server;
let service: ServiceProcess;
let developer: Rest;
let publisher: Rest;
/** Whose certificate each request came with, by its path. */
let callers: Map<string, string[]>;

beforeAll(async () => {
  openssl('req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=ca', '-keyout', 'ca.key', '-out', 'ca.pem');
  issue('server', 'subjectAltName=IP:127.0.0.1', '2');
  for (const [name, days] of [
    ['till', '90'],
    ['kitchen', '90'],
    ['ending', '2'],
    ['expired', '-1'],
  ] as const)
    issue(name, 'extendedKeyUsage=clientAuth', days);
  openssl('req', '-x509', ...newKey, '-days', '90', '-subj', '/CN=stranger', '-keyout', 'stranger.key', '-out', 'stranger.pem');
  server = createServer(
    { key: pem('server.key'), cert: pem('server.pem'), ca: pem('ca.pem'), requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const path = request.url ?? '';
      const { subject } = (request.socket as TLSSocket).getPeerCertificate();
      callers.set(path, [...(callers.get(path) ?? []), String(subject.CN)]);
      request.resume().on('end', () => response.writeHead(204).end());
    },
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  database = await createTestDatabase();
  service = await startProcess({
    ...envOf(database.config, null),
    ENVIRONMENT: 'test',
    LOG_LEVEL: 'info',
    WEBHOOK_ALLOW_HTTP: 'true',
    WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8',
    WEBHOOK_MAX_RETRIES: '0',
    WEBHOOK_SECRET_KEYS: sealingKey,
    NODE_EXTRA_CA_CERTS: join(directory, 'ca.pem'),
  });
  [developer, publisher] = [await service.as('alice'), await service.as('orders', 'service')];
}, PATIENCE_MS);
afterAll(async () => {
  await service.kill();
  server.close();
  await database.drop();
  rmSync(directory, { recursive: true });
});
beforeEach(async () => {
  callers = new Map();
  const { body } = await developer('GET', '/api/v1/webhooks?limit=100');
  for (const { id } of body.webhooks) await developer('DELETE', `/api/v1/webhooks/${id}`);
});

const urlOf = (path: string): string => `https://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;

/** What the log has of the delivery of a new event to a webhook, once it has ended. */
async function deliveryTo(webhookId: string): Promise<{ status: string; error_code?: string }> {
  const eventId = await publish(publisher, ['alice']);
  return eventually(
    async () => {
      const { body } = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${webhookId}&event_id=${eventId}`);
      const [delivery] = body.deliveries;
      return delivery?.status === 'pending' ? null : delivery;
    },
    { what: 'the end of the delivery', deadlineMs: PATIENCE_MS },
  );
}

test('each webhook shows its own certificate, one without is refused by the receiver, and none uses the connection of another', async () => {
  const till = await createWebhook(developer, urlOf('/till'), shown('till'));
  const kitchen = await createWebhook(developer, urlOf('/kitchen'), shown('kitchen'));
  const bare = await createWebhook(developer, urlOf('/bare'));
  for (let times = 0; times < 3; times += 1) {
    expect(await deliveryTo(till.id)).toMatchObject({ status: 'delivered' });
    expect(await deliveryTo(kitchen.id)).toMatchObject({ status: 'delivered' });
  }
  expect(await deliveryTo(bare.id)).toMatchObject({ status: 'failed', error_code: 'tls_client_certificate_required' });
  expect(new Set(callers.get('/till'))).toEqual(new Set(['till']));
  expect(new Set(callers.get('/kitchen'))).toEqual(new Set(['kitchen']));
  expect([...callers.keys()].toSorted()).toEqual(['/kitchen', '/till']);

  const diagnosed = await developer('POST', `/api/v1/webhooks/${till.id}/diagnose`, {});
  expect(diagnosed.body.steps.find(({ step }: { step: string }) => step === 'ping')).toMatchObject({ result: 'ok' });
});

test('a receiver that does not know the authority of a certificate is said to have refused it', async () => {
  const port = await freePort();
  const files = ['-cert', 'server.pem', '-key', 'server.key', '-CAfile', 'ca.pem'];
  const strict = spawn(
    'openssl',
    ['s_server', '-accept', `127.0.0.1:${port}`, ...files, '-Verify', '1', '-verify_return_error', '-quiet'],
    { cwd: directory, stdio: 'ignore' },
  );
  try {
    await eventually(() => isOpen(port), { what: 'the server', deadlineMs: PATIENCE_MS });
    const { id } = await createWebhook(developer, `https://127.0.0.1:${port}/`, shown('stranger'));
    expect(await deliveryTo(id)).toMatchObject({ status: 'failed', error_code: 'tls_client_certificate_refused' });
  } finally {
    strict.kill();
  }
});

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => (socket.destroy(), resolve(true))).on('error', () => resolve(false));
  });

test('the key is in no answer and no log, and what was read can be sent back without it', async () => {
  const created = await createWebhook(developer, urlOf('/read'), shown('till'));
  expect(created.client_certificate).toEqual({ certificate: pem('till.pem'), expires_at: expect.any(String) });
  const path = `/api/v1/webhooks/${created.id}`;
  const read = (await developer('GET', path)).body;
  const { status, body } = await developer('PUT', path, { ...read, description: 'Till' });
  expect([status, body.client_certificate]).toEqual([200, created.client_certificate]);
  expect(await deliveryTo(created.id)).toMatchObject({ status: 'delivered' });

  expect((await developer('PATCH', path, shown('kitchen'))).status).toBe(200);
  expect(await deliveryTo(created.id)).toMatchObject({ status: 'delivered' });
  expect(callers.get('/read')).toEqual(['till', 'kitchen']);
  expect((await developer('PATCH', path, { client_certificate: null })).body.client_certificate).toBeUndefined();
  expect(await deliveryTo(created.id)).toMatchObject({ status: 'failed' });

  const history = (await developer('GET', `${path}/history`)).body;
  expect(history.changes[1].fields).toEqual([
    {
      field: 'client_certificate',
      old: expect.stringMatching(/^CN=till, until 20/),
      new: expect.stringMatching(/^CN=kitchen/),
    },
  ]);
  const { rows } = await database.pool.query('select w::text as text from webhook_endpoints w');
  const everything = [
    JSON.stringify([created, read, body, history]),
    service.lines.join('\n'),
    ...rows.map(({ text }) => text),
  ];
  for (const secret of [pem('till.key'), pem('kitchen.key')])
    for (const line of secret.split('\n').filter((text) => text.length > 40 && !text.startsWith('-')))
      for (const text of everything) expect(text).not.toContain(line);
});

test('what could not be shown is refused when it is written, with the field', async () => {
  const { certificate, key } = shown('till').client_certificate;
  const other = pem('kitchen.key');
  const encrypted = '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIH0MF8GCSqGSIb3\n-----END ENCRYPTED PRIVATE KEY-----\n';
  const cases: [object, string][] = [
    [{ certificate, key: other }, 'client_certificate.key'],
    [{ certificate }, 'client_certificate.key'],
    [{ certificate, key: 'none' }, 'client_certificate.key'],
    [{ certificate, key: encrypted }, 'client_certificate.key'],
    [{ certificate: key, key }, 'client_certificate.certificate'],
    [{ certificate: certificate.replace(/\n.{20}/, '\n'), key }, 'client_certificate.certificate'],
    [shown('expired').client_certificate, 'client_certificate.certificate'],
    [{ certificate: certificate.repeat(7), key }, 'client_certificate.certificate'],
  ];
  const webhook = { url: urlOf('/'), events: ['order.created'] };
  for (const [client_certificate, field] of cases) {
    const { status, body } = await developer('POST', '/api/v1/webhooks', { ...webhook, client_certificate });
    expect([status, body.error]).toMatchObject([400, { reason: 'field_invalid', details: [{ field }] }]);
    expect(JSON.stringify(body)).not.toContain('PRIVATE');
  }
  const plain = { ...webhook, url: 'http://127.0.0.1:9/', ...shown('till') };
  const refused = { reason: 'field_invalid', details: [{ field: 'client_certificate' }] };
  expect((await developer('POST', '/api/v1/webhooks', plain)).body.error).toMatchObject(refused);
  const made = await createWebhook(developer, urlOf('/'), shown('till'));
  expect((await developer('PATCH', `/api/v1/webhooks/${made.id}`, { url: plain.url })).body.error).toMatchObject(refused);
});

test('the end of a certificate is noticed once, when it is near and the certificate is used', async () => {
  const { id } = await createWebhook(developer, urlOf('/ending'), shown('ending'));
  expect(await deliveryTo(id)).toMatchObject({ status: 'delivered' });
  const notices = () =>
    service.lines.filter((line) => line.includes('client certificate of a webhook ends soon') && line.includes(id));
  await eventually(() => notices().length === 1, { what: 'the notice', deadlineMs: PATIENCE_MS });
  expect((await developer('PATCH', `/api/v1/webhooks/${id}`, { description: 'read anew' })).status).toBe(200);
  expect(await deliveryTo(id)).toMatchObject({ status: 'delivered' });
  const { rows } = await database.pool.query(
    'select client_certificate_noticed_at as at from webhook_endpoints where id = $1',
    [id],
  );
  expect(rows[0].at).not.toBeNull();
  expect(notices()).toHaveLength(1);
});

test('keys of certificates are brought under a new sealing key', async () => {
  await createWebhook(developer, urlOf('/sealed'), shown('till'));
  const added = `k2:${randomBytes(32).toString('base64')}`;
  expect(await reencryptSecrets(database.pool, new SecretBox([added, sealingKey]))).toMatchObject({ left: 0, unreadable: [] });
  const { rows } = await database.pool.query(
    `select count(*)::int as n from webhook_endpoints where client_key is not null and client_key not like 'v1:k2:%'`,
  );
  expect(rows[0].n).toBe(0);
});
