// Changing the keys that secrets are sealed under, while the service runs: nothing goes out unsigned, nothing stays under an old key.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { publish as publishEvent } from '../fixtures/scenario.ts';

const PATIENCE_MS = 180_000;
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const [first, second, third] = ['k1', 'k2', 'k3'].map((id) => `${id}:${randomBytes(32).toString('base64')}`) as [
  string,
  string,
  string,
];
const header = 'the value of a header';

let database: TestDatabase;
let receiver: Receiver;
let service: ServiceProcess | null = null;
beforeAll(async () => {
  [database, receiver] = await Promise.all([createTestDatabase(), startReceiver()]);
});
afterAll(async () => {
  await service?.kill();
  await receiver.close();
  await database.drop();
});

function env(keys: string): Record<string, string> {
  return {
    ...envOf(database.config, null),
    ENVIRONMENT: 'test',
    WEBHOOK_ALLOW_HTTP: 'true',
    WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8',
    WEBHOOK_MAX_RETRIES: '0',
    WEBHOOK_SECRET_KEYS: keys,
  };
}

async function restart(keys: string): Promise<{ service: ServiceProcess; developer: Rest; publish: () => Promise<string> }> {
  await service?.stop();
  service = await startProcess(env(keys));
  const [developer, publisher] = [await service.as('alice'), await service.as('orders', 'service')];
  return { service, developer, publish: () => publishEvent(publisher, ['alice']) };
}

const reencrypt = (keys: string) =>
  promisify(execFile)(process.execPath, [main, 'reencrypt'], { env: { PATH: process.env['PATH'], ...env(keys) } });

/** Webhooks that hold anything under a key, as the rows themselves say. */
async function holding(keyId: string): Promise<number> {
  const { rows } = await database.pool.query(
    `select count(*)::int as n from webhook_endpoints w where w::text like '%v1:' || $1 || ':%'`,
    [keyId],
  );
  return rows[0].n as number;
}

function verified(secrets: ReadonlyMap<string, string>): number {
  for (const { body, headers } of receiver.requests) {
    const { webhook_id: id } = JSON.parse(body.toString()) as { webhook_id: string };
    new Webhook(secrets.get(id) ?? '').verify(body.toString(), { ...headers });
    expect(headers['x-private']).toBe(header);
  }
  return receiver.requests.length;
}

test(
  'secrets are brought under a new key while events go out, and the old key can go',
  async () => {
    const secrets = new Map<string, string>();
    let running = await restart(first);
    const webhooks = 20;
    for (let index = 0; index < webhooks; index += 1) {
      const { body } = await running.developer('POST', '/api/v1/webhooks', {
        url: receiver.url(`/${index}`),
        events: ['order.created'],
        custom_headers: { 'X-Private': header },
      });
      secrets.set(body.id, body.secret);
    }
    // A rotated one keeps its old secret for a day; a deleted one keeps its row.
    const [rotated = '', deleted = ''] = secrets.keys();
    const { body } = await running.developer('POST', `/api/v1/webhooks/${rotated}/rotate-secret`);
    const replaced = secrets.get(rotated) ?? '';
    secrets.set(rotated, body.secret);
    await running.developer('DELETE', `/api/v1/webhooks/${deleted}`);
    expect(await holding('k1')).toBe(webhooks);

    running = await restart(`${second},${first}`);
    expect(running.service.lines.join('\n')).not.toContain('WEBHOOK_SECRET_KEYS lacks');
    let isDone = false;
    let published = 0;
    const publishing = (async () => {
      while (!isDone) {
        await running.publish();
        published += 1;
      }
    })();
    const { stdout } = await reencrypt(`${second},${first}`);
    isDone = true;
    await publishing;
    expect(stdout).toContain(`${webhooks} webhooks sealed under the newest key; 0 left under older ones`);
    expect([await holding('k1'), await holding('k2')]).toEqual([0, webhooks]);
    expect((await reencrypt(`${second},${first}`)).stdout).toContain('0 webhooks sealed');
    await running.publish();
    await receiver.waitFor((requests) => requests.length >= (published + 1) * (webhooks - 1), PATIENCE_MS);
    expect(verified(secrets)).toBe((published + 1) * (webhooks - 1));

    // Without the old key, with all that memory held gone: the rows alone are enough.
    running = await restart(second);
    const before = receiver.requests.length;
    await running.publish();
    await receiver.waitFor((requests) => requests.length === before + webhooks - 1, PATIENCE_MS);
    verified(secrets);
    const last = receiver.requests.findLast(({ body: sent }) => sent.toString().includes(rotated));
    // The replaced secret still signs beside the new one.
    expect(() => new Webhook(replaced).verify(last?.body.toString() ?? '', { ...last?.headers })).not.toThrow();
  },
  PATIENCE_MS,
);

test(
  'a service that lacks a key says so, stays up, serves the others, and keeps what it cannot sign until the key is back',
  async () => {
    const { service: lacking, developer, publish } = await restart(third);
    const told = await eventually(() => lacking.lines.find((line) => line.includes('WEBHOOK_SECRET_KEYS lacks')), {
      what: 'a line about the missing key',
    });
    expect(JSON.parse(told)).toMatchObject({ level: 'error', key_id: 'k2', webhooks: 20 });
    const before = receiver.requests.length;
    const { body } = await developer('POST', '/api/v1/webhooks', { url: receiver.url('/new'), events: ['order.created'] });
    const eventId = await publish();
    await receiver.waitFor((requests) => requests.length === before + 1, PATIENCE_MS);
    const sent = receiver.requests.at(-1);
    new Webhook(body.secret).verify(sent?.body.toString() ?? '', { ...sent?.headers });
    const ofEvent = (condition: string) =>
      database.pool.query(`select count(*)::int as n from deliveries where event_id = $1 and ${condition}`, [eventId]);
    // Each webhook is looked at, and left for a minute.
    const isLeft = `status = 'pending' and next_attempt_at > now() + interval '10 seconds'`;
    await eventually(async () => (await ofEvent(isLeft)).rows[0].n === 19, {
      what: 'the others to wait',
      deadlineMs: PATIENCE_MS,
    });
    expect((await ofEvent(`status <> 'delivered' and attempt_count + retries_used > 0`)).rows[0].n).toBe(0);
    const admin = await lacking.as('root', 'admin');
    const health = await admin('GET', '/health');
    expect(health.body.checks).toMatchObject({ secret_keys: 'degraded' });
    expect(receiver.requests).toHaveLength(before + 1);

    // The command says which webhooks it cannot read, leaves them, and does not report success.
    const refused = await reencrypt(third).then(
      () => null,
      (error: { code: number; stderr: string; stdout: string }) => error,
    );
    expect(refused).toMatchObject({ code: 1 });
    expect(refused?.stdout).toContain('0 webhooks sealed under the newest key; 20 left under older ones');
    expect(refused?.stderr.match(/webhook_\w+: no key/g)).toHaveLength(20);
    expect(await holding('k2')).toBe(20);

    // With the key back, what waited is sent, as if the minute were over.
    await restart(`${third},${second}`);
    await database.pool.query(
      `update deliveries set next_attempt_at = now() where event_id = $1 and next_attempt_at is not null`,
      [eventId],
    );
    await receiver.waitFor((requests) => requests.length === before + 1 + 19, PATIENCE_MS);
  },
  PATIENCE_MS,
);
