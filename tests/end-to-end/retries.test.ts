// From a publish to the end of a delivery, over real sockets, on both schedules.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rawReceiver } from '../outbound/raw-receiver.ts';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish as publishEvent, schedules, startScenario, type Scenario } from '../fixtures/scenario.ts';

describe.each(schedules)('scheduled by $schedule', ({ redis }) => {
  let scenario: Scenario;
  let receiver: Receiver;
  let developer: Rest;

  beforeAll(async () => {
    scenario = await startScenario({ redis: redis() });
    receiver = scenario.receiver;
    developer = await scenario.service.as('user123');
  });
  afterAll(() => scenario.close());

  const webhookAt = (path: string, policy: object = { max_retries: 3, retry_delay: 1 }): Promise<any> =>
    createWebhook(developer, receiver.url(path), { retry_policy: policy });

  const publish = (): Promise<string> =>
    publishEvent(scenario.publisher, ['user123'], { data: { order_id: 'o1', note: 'größer als <€>' } });

  /** The only delivery of the webhook, in full, once it has this status. */
  async function deliveryOf(webhookId: string, status: string): Promise<any> {
    const { id } = await eventually(
      async () => {
        const list = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${webhookId}`);
        return list.body.deliveries.find((delivery: { status: string }) => delivery.status === status);
      },
      { what: `a delivery that is ${status}`, deadlineMs: 20_000 },
    );
    return (await developer('GET', `/api/v1/webhooks/deliveries/${id}`)).body;
  }

  const retire = (webhook: { id: string }) => developer('DELETE', `/api/v1/webhooks/${webhook.id}`);

  test('what is odd about an answer never decides its outcome, and is kept with its attempt, the first one included', async () => {
    const odd = await rawReceiver((socket, { head }) => {
      if (head.startsWith('POST /mends')) {
        const isFirst = /^x-homechef-attempt: 1$/im.test(head);
        socket.write(isFirst ? 'HTTP/1.1 503 No\r\nx: a\r\n b\r\n\r\n' : 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      } else socket.write('HTTP/1.1 200 OK\ncontent-length: 2\n\nok');
    });
    const webhooks = [];
    for (const path of ['takes', 'mends']) {
      const url = `http://127.0.0.1:${odd.port}/${path}`;
      const created = await createWebhook(developer, url, { retry_policy: { max_retries: 3, retry_delay: 1 } });
      webhooks.push(created.id as string);
    }
    await publish();
    const [taken, mended] = [
      await deliveryOf(webhooks[0] ?? '', 'delivered'),
      await deliveryOf(webhooks[1] ?? '', 'delivered'),
    ];
    const told = (delivery: any) => delivery.attempts.map((attempt: any) => [attempt.http_status, attempt.response_oddity]);
    expect(told(taken)).toEqual([[200, 'bare_line_feed']]);
    expect(told(mended)).toEqual([
      [503, 'folded_line'],
      [200, undefined],
    ]);
    for (const id of webhooks) await retire({ id });
    await odd.close();
  });

  test('500, 500, 200 ends delivered with three attempts whose delays double within the jitter', async () => {
    receiver.script('/mends', 500, 500, 200);
    const webhook = await webhookAt('/mends');
    await publish();
    const retrying = await deliveryOf(webhook.id, 'retrying');
    expect(Date.parse(retrying.next_retry_at)).toBeGreaterThan(Date.now() - 500);
    const delivery = await deliveryOf(webhook.id, 'delivered');
    expect(delivery).toMatchObject({ attempt_count: 3, http_status: 200 });
    expect(delivery.delivered_at).toBeDefined();
    expect(delivery.attempts.map((attempt: any) => [attempt.number, attempt.http_status, attempt.trigger])).toEqual([
      [1, 500, 'automatic'],
      [2, 500, 'automatic'],
      [3, 200, 'automatic'],
    ]);
    for (const attempt of delivery.attempts) {
      expect(attempt.remote_address).toBe('127.0.0.1');
      expect(attempt.request_headers).toEqual(
        expect.arrayContaining([
          { name: 'webhook-id', value: delivery.id },
          { name: 'x-homechef-attempt', value: String(attempt.number) },
          { name: 'webhook-signature', value: '********' },
        ]),
      );
      expect(attempt.response_headers.map(({ name }: any) => name.toLowerCase())).toContain('content-length');
    }
    const [first, second, third] = receiver.at('/mends');
    const delays = [(second?.atMs ?? 0) - (first?.atMs ?? 0), (third?.atMs ?? 0) - (second?.atMs ?? 0)];
    // A second and two, ±20 %, and never early; what is above is a machine with other things to do.
    expect(delays[0]).toBeGreaterThanOrEqual(800);
    expect(delays[0]).toBeLessThan(1200 + 700);
    expect(delays[1]).toBeGreaterThanOrEqual(1600);
    expect(delays[1]).toBeLessThan(2400 + 700);
    expect(new Set(receiver.at('/mends').map((request) => request.body.toString())).size).toBe(1);
    expect(new Set(receiver.at('/mends').map((request) => request.headers['webhook-id']))).toEqual(new Set([delivery.id]));
    expect(receiver.at('/mends').map((request) => request.headers['x-homechef-attempt'])).toEqual(['1', '2', '3']);
    await retire(webhook);
  });

  test('one that always fails ends failed after 1 + max_retries; by hand, after mending, it is delivered', async () => {
    receiver.script('/broken', 503);
    const webhook = await webhookAt('/broken', { max_retries: 2, retry_delay: 0.2 });
    await publish();
    const failed = await deliveryOf(webhook.id, 'failed');
    expect(failed).toMatchObject({ attempt_count: 3, http_status: 503, error_code: 'http_status' });
    expect(failed.error_message).toContain('503');
    expect(Date.parse(failed.failed_at)).toBeGreaterThan(Date.parse(failed.created_at));
    expect(failed.next_retry_at).toBeUndefined();
    expect(receiver.at('/broken')).toHaveLength(3);

    receiver.script('/broken', 200);
    const asked = await developer('POST', `/api/v1/webhooks/deliveries/${failed.id}/retry`);
    expect(asked.status).toBe(202);
    const mended = await deliveryOf(webhook.id, 'delivered');
    expect(mended).toMatchObject({ id: failed.id, attempt_count: 4 });
    expect(mended.attempts.at(-1)).toMatchObject({ number: 4, http_status: 200, trigger: 'manual' });
    await retire(webhook);
  });

  test('a retry by hand during an attempt that fails for good is an attempt of its own', async () => {
    receiver.script('/slow-to-fail', { status: 500, delayMs: 1000 }, 200);
    const webhook = await webhookAt('/slow-to-fail', { max_retries: 0, retry_delay: 60 });
    await publish();
    await receiver.waitFor(() => receiver.at('/slow-to-fail').length === 1);
    const list = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${webhook.id}`);
    const asked = await developer('POST', `/api/v1/webhooks/deliveries/${list.body.deliveries[0].id}/retry`);
    expect(asked.status).toBe(202);
    const delivery = await deliveryOf(webhook.id, 'delivered');
    expect(delivery.attempts).toMatchObject([
      { number: 1, http_status: 500, trigger: 'automatic' },
      { number: 2, http_status: 200, trigger: 'manual' },
    ]);
    await retire(webhook);
  });

  test('a retry by hand during an automatic retry follows it, however it is leased', async () => {
    receiver.script('/second-is-slow', 500, { status: 500, delayMs: 1000 }, 200);
    const webhook = await webhookAt('/second-is-slow', { max_retries: 1, retry_delay: 0.2 });
    await publish();
    await receiver.waitFor(() => receiver.at('/second-is-slow').length === 2);
    const list = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${webhook.id}`);
    const asked = await developer('POST', `/api/v1/webhooks/deliveries/${list.body.deliveries[0].id}/retry`);
    expect(asked).toMatchObject({ status: 202, body: { status: 'retrying' } });
    const delivery = await deliveryOf(webhook.id, 'delivered');
    expect(delivery.attempts.map((attempt: any) => attempt.trigger)).toEqual(['automatic', 'automatic', 'manual']);
    await retire(webhook);
  });
});
