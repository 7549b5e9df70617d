// Certificates near their end are noticed at the handshakes of ordinary requests: real TLS, a real database.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import { createServer, type Server } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createCertificateWatch, type ExpiringCertificate } from '../../src/delivery/certificate-watch.ts';
import type { Target } from '../../src/delivery/webhook-directory.ts';
import { DAY_MS } from '../../src/domain/time-units.ts';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient } from '../../src/outbound/http-client.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { readRequests } from '../outbound/raw-receiver.ts';

const pem = (name: string): string => readFileSync(new URL(`certificates/${name}`, import.meta.url), 'utf8');
const endsAtMs = new X509Certificate(pem('good.pem')).validToDate.getTime();

let database: TestDatabase;
let server: Server;
let url: string;
let handshakes = 0;
let nowMs: number;
let client: HttpClient;
let noticed: ExpiringCertificate[];
let changed: string[];
let known: number | null;

beforeAll(async () => {
  database = await createTestDatabase();
  server = createServer({ key: pem('server.key'), cert: pem('good.pem') }, (socket) => {
    handshakes += 1;
    readRequests(socket, () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  url = `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`;
});
afterAll(async () => {
  server.close();
  await database.drop();
});

beforeEach(async () => {
  [noticed, changed, known] = [[], [], null];
  await database.pool.query('truncate webhook_endpoints');
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, retry_policy, previous_secrets)
     values ('webhook_1', 'alice', $1, '["order.created"]', 's', 'hint', '{}', '[]')`,
    [url],
  );
  client = clientWithWatch();
});
afterEach(() => client.close());

function clientWithWatch(): HttpClient {
  const watch = createCertificateWatch({
    pool: database.pool,
    directory: { peek: () => ({ certificateExpiresAtMs: known }) as Target },
    now: () => nowMs,
    onChanged: (webhookId) => changed.push(webhookId),
    onExpiring: (certificate) => noticed.push(certificate),
    onError: (error) => expect.unreachable(String(error)),
  });
  return new HttpClient({
    policy: new EgressPolicy({ environment: 'development', egress: { allowedCidrs: ['127.0.0.1/32'], allowHttp: true } }),
    trustedCertificates: [pem('ca.pem')],
    onCertificate: watch,
  });
}

const post = async (): Promise<void> => {
  const request = { url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: 5000, webhookId: 'webhook_1' };
  expect(await client.post(request)).toMatchObject({ httpStatus: 200, error: null });
};

const noted = async (): Promise<Date | null> =>
  (await database.pool.query('select certificate_expires_at as at from webhook_endpoints')).rows[0].at;

test('a certificate that ends within 14 days is noted and announced once, at the handshake and at no request after it', async () => {
  nowMs = endsAtMs - 13 * DAY_MS;
  const before = handshakes;
  await post();
  await eventually(() => noticed.length > 0);
  expect(await noted()).toEqual(new Date(endsAtMs));
  expect(noticed).toEqual([{ webhookId: 'webhook_1', userId: 'alice', expiresAtMs: endsAtMs }]);
  expect(changed).toEqual(['webhook_1']);
  await database.pool.query('update webhook_endpoints set certificate_expires_at = null');
  await post();
  expect(handshakes).toBe(before + 1);
  expect(await noted()).toBeNull();
  // Another process comes to know the same.
  await database.pool.query('update webhook_endpoints set certificate_expires_at = $1', [new Date(endsAtMs)]);
  client.close();
  client = clientWithWatch();
  await post();
  expect(noticed).toHaveLength(1);
});

test('one that ends later is not, and takes back what was noted of the one before', async () => {
  nowMs = endsAtMs - 15 * DAY_MS;
  await post();
  expect(await noted()).toBeNull();
  client.close();
  known = nowMs + DAY_MS;
  await database.pool.query('update webhook_endpoints set certificate_expires_at = $1', [new Date(known)]);
  client = clientWithWatch();
  await post();
  await eventually(async () => (await noted()) === null);
  expect(noticed).toEqual([]);
});
