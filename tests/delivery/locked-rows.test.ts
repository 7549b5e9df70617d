// A row that another session has locked: whose outcomes wait for it, and whose do not.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish as publishEvent } from '../fixtures/scenario.ts';

/** A second, and as much again for a machine with other things to do: a lock used to cost nine to twenty. */
const SOON_MS = 2000;

let service: TestApp;
let receiver: Receiver;
let publisher: Rest;

beforeAll(async () => {
  [service, receiver] = await Promise.all([startApp({ env: { WEBHOOK_LEASE: '30' } }), startReceiver()]);
  publisher = await service.as('orders', 'service');
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

async function webhookOf(user: string, path: string): Promise<string> {
  const retry_policy = { max_retries: 1, retry_delay: 1 };
  return (await createWebhook(await service.as(user), receiver.url(path), { retry_policy })).id;
}

const publish = (user: string): Promise<string> => publishEvent(publisher, [user]);

const delivered = async (webhookId: string): Promise<number> =>
  (
    await service.database.pool.query(
      `select count(*)::integer as n from deliveries where webhook_id = $1 and status = 'delivered'`,
      [webhookId],
    )
  ).rows[0].n;

test.each([
  {
    what: 'delivery',
    lock: 'select 1 from deliveries where webhook_id = $1 for update',
    steps: [{ status: 200, delayMs: 300 }, 200],
  },
  {
    what: 'webhook',
    lock: 'select 1 from webhook_endpoints where id = $1 for update',
    steps: [{ status: 500, delayMs: 300 }, 200],
  },
])(
  'while another session locks a $what, outcomes of other webhooks are recorded within a second',
  async ({ what, lock, steps }) => {
    receiver.script(`/locked-${what}`, ...steps);
    const lockedWebhook = await webhookOf(`locked-${what}`, `/locked-${what}`);
    const otherWebhook = await webhookOf(`other-${what}`, `/other-${what}`);
    const operator = await service.database.pool.connect();
    try {
      await publish(`locked-${what}`);
      await receiver.waitFor(() => receiver.at(`/locked-${what}`).length === 1);
      await operator.query('begin');
      await operator.query(lock, [lockedWebhook]);
      const lockedAt = performance.now();
      for (let n = 1; performance.now() < lockedAt + 3000; n += 1) {
        const publishedAt = performance.now();
        await publish(`other-${what}`);
        await eventually(async () => (await delivered(otherWebhook)) === n, { what: 'the outcome' });
        expect(performance.now() - publishedAt).toBeLessThan(SOON_MS);
      }
      expect(await delivered(lockedWebhook)).toBe(0);
      await operator.query('rollback');
      await eventually(async () => (await delivered(lockedWebhook)) === 1, { what: 'the outcome that waited' });
    } finally {
      operator.release(true);
    }
  },
);
