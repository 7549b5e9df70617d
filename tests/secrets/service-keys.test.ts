// Ed25519 signatures: what a receiver checks with the public keys of the service alone, while those keys are replaced.
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { reencryptSecrets } from '../../src/maintenance/secret-keys.ts';
import { listServiceKeys } from '../../src/persistence/queries/service-keys.ts';
import { SecretBox, loadOrCreateKeys } from '../../src/security/secret-box.ts';
import { openServiceKey } from '../../src/security/service-key.ts';
import { eventually } from '../fixtures/eventually.ts';
import type { ReceivedRequest } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish, startScenario, type Scenario } from '../fixtures/scenario.ts';

const PATIENCE_MS = 60_000;
vi.setConfig({ testTimeout: 2 * PATIENCE_MS });
const both = { signatures: ['hmac', 'ed25519'] };

let scenario: Scenario;
let developer: Rest;
let admin: Rest;
beforeAll(async () => {
  scenario = await startScenario({ env: { WEBHOOK_ALLOW_HTTP: 'true', WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8' } });
  [developer, admin] = [await scenario.service.as('alice'), await scenario.service.as('root', 'admin')];
}, PATIENCE_MS);
afterAll(() => scenario.close());
beforeEach(() => scenario.service.database.pool.query('update webhook_endpoints set deleted_at = now()'));

interface Jwk {
  readonly kid: string;
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
}

const keySet = async () => (await (await fetch(`${scenario.service.http}/.well-known/webhook-keys`)).json()) as { keys: Jwk[] };

const signaturesOf = ({ headers }: ReceivedRequest): string[] => (headers['webhook-signature'] ?? '').split(' ');

/** As a receiver checks it: any signature by any key. */
function isSignedBy(keys: readonly Jwk[], request: ReceivedRequest, body: Buffer = request.body): boolean {
  const signed = Buffer.from(`${request.headers['webhook-id']}.${request.headers['webhook-timestamp']}.${body.toString()}`);
  const signatures = signaturesOf(request).flatMap((text) =>
    text.startsWith('v1a,') ? [Buffer.from(text.slice(4), 'base64')] : [],
  );
  return keys.some((key) =>
    signatures.some((signature) => verify(null, signed, createPublicKey({ key, format: 'jwk' }), signature)),
  );
}

let deliveries = 0;
async function deliver(fields: object): Promise<{ request: ReceivedRequest; webhook: { id: string; secret: string } }> {
  const path = `/${(deliveries += 1)}`;
  const webhook = await createWebhook(developer, scenario.receiver.url(path), fields);
  await publish(scenario.publisher, ['alice'], { data: { n: 1.5, text: 'Größe "M"' } });
  await scenario.receiver.waitFor(() => scenario.receiver.at(path).length === 1, PATIENCE_MS);
  const request = scenario.receiver.at(path)[0];
  if (request === undefined) throw new Error('nothing came');
  return { request, webhook };
}

test('a webhook that did not ask has one signature, and the service makes no key for it', async () => {
  const { request } = await deliver({});
  expect(signaturesOf(request)).toEqual([expect.stringMatching(/^v1,/)]);
  expect(await listServiceKeys(scenario.service.database.pool)).toEqual([]);
  expect(await keySet()).toEqual({ keys: [] });
});

test('a request carries both signatures: the libraries take it by the secret, and the published keys alone verify it', async () => {
  const { request, webhook } = await deliver(both);
  expect(signaturesOf(request).map((text) => text.split(',')[0])).toEqual(['v1', 'v1a']);
  expect(new Webhook(webhook.secret).verify(request.body.toString(), { ...request.headers })).toMatchObject({
    event: 'order.created',
  });
  expect(() => new SvixWebhook(webhook.secret).verify(request.body.toString(), { ...request.headers })).not.toThrow();

  const { keys } = await eventually(async () => ((found) => (found.keys.length === 1 ? found : null))(await keySet()), {
    what: 'the key to be published',
    deadlineMs: PATIENCE_MS,
  });
  expect(keys[0]).toEqual({ kty: 'OKP', crv: 'Ed25519', use: 'sig', alg: 'EdDSA', kid: keys[0]?.kid, x: keys[0]?.x });
  expect(isSignedBy(keys, request)).toBe(true);
  const changed = Buffer.from(request.body.toString().replace('1.5', '1.6'));
  expect(isSignedBy(keys, request, changed)).toBe(false);

  const listed = await developer('GET', '/api/v1/service-keys');
  const raw = Buffer.from(keys[0]?.x ?? '', 'base64url').toString('base64');
  expect(listed.body).toEqual({ keys: [{ id: keys[0]?.kid, public_key: `whpk_${raw}`, created_at: expect.any(String) }] });
});

test('the key set needs no token, may be cached, and is sent again only when it has changed', async () => {
  const url = `${scenario.service.http}/.well-known/webhook-keys`;
  const first = await fetch(url);
  expect(Object.fromEntries(first.headers)).toMatchObject({
    'content-type': 'application/jwk-set+json',
    'cache-control': 'public, max-age=300',
  });
  const again = await fetch(url, { headers: { 'if-none-match': first.headers.get('etag') ?? '' } });
  expect(again.status).toBe(304);
});

test('webhooks that ask for the first key at the same time get one', async () => {
  await scenario.service.database.pool.query('delete from service_keys');
  const url = scenario.receiver.url('/first');
  await Promise.all(Array.from({ length: 5 }, () => createWebhook(developer, url, both)));
  expect(await listServiceKeys(scenario.service.database.pool)).toHaveLength(1);
});

test('signatures are switched on and off by an update, kept by one that does not name them, and stand in the history', async () => {
  const { id } = await createWebhook(developer, scenario.receiver.url('/switched'));
  const path = `/api/v1/webhooks/${id}`;
  const change = async (body: object) => (await developer('PATCH', path, body)).body.signatures;
  expect(await change(both)).toEqual(['hmac', 'ed25519']);
  expect(await change({ description: 'Till' })).toEqual(['hmac', 'ed25519']);
  expect(await change({ signatures: ['hmac'] })).toEqual(['hmac']);
  expect(await change(both)).toEqual(['hmac', 'ed25519']);
  expect(await change({ signatures: null })).toEqual(['hmac']);
  const { changes } = (await developer('GET', `${path}/history`)).body;
  expect(changes.at(-2).fields).toEqual([{ field: 'signatures', old: ['hmac'], new: ['hmac', 'ed25519'] }]);
});

test(
  'a rotation lets both keys sign until its overlap ends, is refused while one is under way, and without an overlap ends every earlier key',
  async () => {
    await deliver(both);
    const [old] = (await developer('GET', '/api/v1/service-keys')).body.keys;
    const rotate = (body: object) => admin('POST', '/api/v1/service-keys/rotate', body);
    const rotated = await rotate({ overlap_hours: 1, idempotency_key: 'first' });
    expect((await rotate({ overlap_hours: 1, idempotency_key: 'first' })).body).toEqual(rotated.body);
    const [fresh, before] = rotated.body.keys;
    expect(before).toEqual({ ...old, signs_until: expect.any(String) });
    expect(Date.parse(before.signs_until)).toBeGreaterThan(Date.now() + 3_500_000);

    const kids = async () => (await keySet()).keys.map(({ kid }) => kid);
    const published = (ids: string[], what: string) =>
      eventually(async () => JSON.stringify(await kids()) === JSON.stringify(ids), { what, deadlineMs: PATIENCE_MS });
    await published([fresh.id, old.id], 'both keys to be published');
    const { keys } = await keySet();
    // The dispatcher's own copy is read again within the same ten seconds.
    const signedByBoth = async () => {
      const { request } = await deliver(both);
      return keys.every((key) => isSignedBy([key], request));
    };
    await eventually(signedByBoth, { what: 'both keys to sign', deadlineMs: PATIENCE_MS });

    expect(await rotate({})).toMatchObject({ status: 409, body: { error: { reason: 'rotation_running' } } });
    const [last] = (await rotate({ overlap_hours: 0 })).body.keys;
    await published([last.id], 'the last key alone');
    expect((await scenario.service.database.pool.query('select id from service_keys')).rows).toEqual([{ id: last.id }]);
    const lastKeys = (await keySet()).keys;
    const signedByLast = async () => {
      const { request } = await deliver(both);
      return signaturesOf(request).length === 2 && isSignedBy(lastKeys, request);
    };
    await eventually(signedByLast, { what: 'the last key to sign alone', deadlineMs: PATIENCE_MS });
  },
  2 * PATIENCE_MS,
);

test('private keys are brought under a new sealing key, and those that no key opens are named', async () => {
  const { pool } = scenario.service.database;
  const held = loadOrCreateKeys(scenario.service.config);
  const added = `k9:${randomBytes(32).toString('base64')}`;
  const stranger = new SecretBox([`k8:${randomBytes(32).toString('base64')}`]);
  await pool.query('delete from service_keys where signs_until is not null');
  const [key] = await listServiceKeys(pool);
  expect((await reencryptSecrets(pool, stranger)).serviceKeysLeft).toEqual([key?.id]);
  expect((await reencryptSecrets(pool, new SecretBox([added, ...held]))).serviceKeysLeft).toEqual([]);
  const [resealed] = await listServiceKeys(pool);
  expect(resealed).toMatchObject({ id: key?.id, publicKey: key?.publicKey });
  const opened = openServiceKey(new SecretBox([added]), resealed ?? { id: '', sealedPrivateKey: '' });
  expect(Buffer.from(createPublicKey(opened).export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64')).toBe(
    key?.publicKey,
  );
});
