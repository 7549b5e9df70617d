// The webhooks that a process keeps in memory, and how much memory they may take.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toConfig } from '../../src/config.ts';
import { MAX_DIRECTORY_BYTES, WebhookDirectory } from '../../src/delivery/webhook-directory.ts';
import { newId } from '../../src/domain/ids.ts';
import { ServiceKeys } from '../../src/delivery/service-keys.ts';
import { insertFirstServiceKey } from '../../src/persistence/queries/service-keys.ts';
import { newServiceKey } from '../../src/security/service-key.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import { newSecret } from '../../src/security/signature.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

const box = new SecretBox([`k1:${randomBytes(32).toString('base64')}`]);
const { delivery } = toConfig({ ENVIRONMENT: 'test' });
let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const directoryOf = (): WebhookDirectory =>
  new WebhookDirectory(
    database.pool,
    box,
    delivery.retry,
    new ServiceKeys({ pool: database.pool, box, now: Date.now, onError: () => {} }),
  );

/** A webhook as it was stored before all headers together had a limit. */
async function storedWebhook(headers: Readonly<Record<string, string>>): Promise<string> {
  const owner = { userId: 'alice', webhookId: newId('webhook', Date.now()) };
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, custom_headers)
     values ($1, $2, 'https://example.com/hook', '["order.created"]', $3, 'hint', $4)`,
    [
      owner.webhookId,
      owner.userId,
      box.seal('signing_secret', owner, newSecret()),
      box.seal('custom_headers', owner, JSON.stringify(headers)),
    ],
  );
  return owner.webhookId;
}

test('webhooks stored with large headers take no more memory than the directory may, and are still sent to', async () => {
  const headers = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`x-${n}`, 'v'.repeat(4096)]));
  const directory = directoryOf();
  const ids: string[] = [];
  for (let n = 0; n < 100; n += 1) ids.push(await storedWebhook(headers));
  for (const id of ids) expect(await directory.load(id)).toMatchObject({ fault: null, customHeaders: headers });
  expect(directory.size.bytes).toBeLessThanOrEqual(MAX_DIRECTORY_BYTES);
  expect(directory.size.targets).toBeLessThan(100);
  expect(directory.peek(ids.at(-1) ?? '', 1)).toBeDefined();
  expect(directory.peek(ids[0] ?? '', 1)).toBeUndefined();
});

test('what is loaded again or forgotten is not counted twice', async () => {
  const directory = directoryOf();
  const id = await storedWebhook({ 'x-a': 'v' });
  for (let n = 0; n < 5; n += 1) await directory.load(id);
  const { bytes } = directory.size;
  directory.forget(id);
  directory.forget(id);
  expect(directory.size).toEqual({ targets: 0, bytes: 0 });
  await directory.load(id);
  expect(directory.size).toEqual({ targets: 1, bytes });
});

test('a webhook with Ed25519 signatures waits for the sealing key of the service key, and no other webhook does', async () => {
  const [plain, signed] = [await storedWebhook({}), await storedWebhook({})];
  await database.pool.query('update webhook_endpoints set signs_ed25519 = true where id = $1', [signed]);
  const elsewhere = new SecretBox([`k2:${randomBytes(32).toString('base64')}`]);
  await insertFirstServiceKey(database.pool, newServiceKey(elsewhere, Date.now()));
  const directory = directoryOf();
  expect(await directory.load(plain)).toMatchObject({ lacksKey: false, fault: null, serviceKeys: null });
  expect(await directory.load(signed)).toMatchObject({ lacksKey: true, fault: 'decrypt_failed' });
});
