// A secret is changed while events go out: whatever verifier a receiver has, and whenever it is redeployed, it takes every delivery.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';
import { envOf, startProcess, type ServiceProcess } from '../fixtures/process.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { publish } from '../fixtures/scenario.ts';

const PATIENCE_MS = 60_000;
/** In each state of the rotation so many deliveries arrive at least. */
const DELIVERIES = 20;

/** As it is printed in README. */
const source = /^function verifyWebhook[\s\S]*?^}/m.exec(
  readFileSync(new URL('../../README.md', import.meta.url), 'utf8'),
)?.[0];
const verifyWebhook = runInNewContext(`${source}; verifyWebhook`, { crypto: { createHmac } }) as (
  payload: string,
  signature: unknown,
  secret: string,
) => boolean;

let database: TestDatabase;
let receiver: Receiver;
let service: ServiceProcess;
let developer: Rest;
let publisher: Rest;
beforeAll(async () => {
  [database, receiver] = await Promise.all([createTestDatabase(), startReceiver()]);
  const env = {
    ...envOf(database.config, null),
    ENVIRONMENT: 'test',
    WEBHOOK_ALLOW_HTTP: 'true',
    WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8',
    WEBHOOK_MAX_RETRIES: '0',
  };
  service = await startProcess(env);
  developer = await service.as('alice');
  publisher = await service.as('orders', 'service');
}, PATIENCE_MS);
afterAll(async () => {
  await service.kill();
  await receiver.close();
  await database.drop();
});

/** Every delivery that arrives during `until`, and some more, with the events going out one after the other. */
async function deliver(): Promise<Receiver['requests']> {
  const before = receiver.requests.length;
  for (let sent = 0; sent < DELIVERIES; sent += 1) await publish(publisher, ['alice'], { data: { sent } });
  await eventually(() => receiver.requests.length === before + DELIVERIES, { what: 'every delivery' });
  return receiver.requests.slice(before);
}

const takes = (requests: Receiver['requests'], secrets: readonly string[]): boolean =>
  requests.every(({ body, headers }) => {
    const payload = JSON.stringify(JSON.parse(body.toString()));
    return secrets.some((secret) => verifyWebhook(payload, headers['x-homechef-signature'], secret));
  });
const libraryTakes = (requests: Receiver['requests'], secret: string): boolean =>
  requests.every(({ body, headers }) => {
    try {
      new Webhook(secret).verify(body.toString(), { ...headers });
      return true;
    } catch {
      return false;
    }
  });

test(
  'the printed verifier takes every delivery before, during and after a rotation, and so does the library with either secret',
  async () => {
    const webhook = { url: receiver.url('/'), events: ['order.created'] };
    const { id, secret: old } = (await developer('POST', '/api/v1/webhooks', webhook)).body as { id: string; secret: string };
    expect(takes(await deliver(), [old])).toBe(true);

    const rotated = await developer('POST', `/api/v1/webhooks/${id}/rotate-secret`, { overlap_hours: 1 });
    const { secret: fresh } = rotated.body as { secret: string };
    expect(Date.parse(String(rotated.body.rotation_ends_at))).toBeGreaterThan(Date.now());
    const during = await deliver();
    // A receiver that was not redeployed, one that knows both, and the library with whichever it has.
    expect([takes(during, [old]), takes(during, [fresh, old])]).toEqual([true, true]);
    expect([libraryTakes(during, old), libraryTakes(during, fresh)]).toEqual([true, true]);
    expect((await developer('GET', `/api/v1/webhooks/${id}/secret`)).body).toEqual({
      secret: fresh,
      previous: [{ secret: old, expires_at: rotated.body.rotation_ends_at }],
    });

    await developer('POST', `/api/v1/webhooks/${id}/rotate-secret/complete`);
    const after = await deliver();
    expect([takes(after, [fresh]), takes(after, [fresh, old])]).toEqual([true, true]);
    expect([libraryTakes(after, fresh), libraryTakes(after, old)]).toEqual([true, false]);
  },
  PATIENCE_MS,
);

test(
  'when the overlap ends by itself the new secret signs alone, in a process that has held the old one all the while',
  async () => {
    const { webhooks } = (await developer('GET', '/api/v1/webhooks')).body as { webhooks: { id: string }[] };
    const id = webhooks[0]?.id ?? '';
    const { secret: old } = (await developer('GET', `/api/v1/webhooks/${id}/secret`)).body as { secret: string };
    const { secret: fresh } = (await developer('POST', `/api/v1/webhooks/${id}/rotate-secret`)).body as { secret: string };
    // As if the hours had passed but for a moment.
    const endsAt = new Date(Date.now() + 3000).toISOString();
    await database.pool.query(
      `update webhook_endpoints set revision = revision + 1, previous_secrets = jsonb_set(previous_secrets, '{0,expires_at}', to_jsonb($1::text))`,
      [endsAt],
    );
    expect(takes((await deliver()).slice(0, 1), [old])).toBe(true);
    await eventually(async () => takes(await deliver(), [fresh]), { what: 'the end of the overlap' });
    expect(libraryTakes(await deliver(), old)).toBe(false);
  },
  PATIENCE_MS,
);

test(
  'a rotation that is taken back leaves receivers with the old secret untouched',
  async () => {
    const { webhooks } = (await developer('GET', '/api/v1/webhooks')).body as { webhooks: { id: string }[] };
    const id = webhooks[0]?.id ?? '';
    const { secret: old } = (await developer('GET', `/api/v1/webhooks/${id}/secret`)).body as { secret: string };
    await developer('POST', `/api/v1/webhooks/${id}/rotate-secret`);
    expect((await developer('POST', `/api/v1/webhooks/${id}/rotate-secret/cancel`)).status).toBe(200);
    const requests = await deliver();
    expect([takes(requests, [old]), libraryTakes(requests, old)]).toEqual([true, true]);
    expect(requests.every(({ headers }) => String(headers['webhook-signature']).split(' ').length === 1)).toBe(true);
    expect((await developer('POST', `/api/v1/webhooks/${id}/rotate-secret`, { overlap_hours: 169 })).body).toMatchObject({
      error: { reason: 'field_invalid', details: [{ field: 'overlap_hours' }] },
    });
  },
  PATIENCE_MS,
);
