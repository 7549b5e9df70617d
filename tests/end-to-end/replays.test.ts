// Replays: what a webhook did not get is sent again, each delivery once, at a pace; and a dry run says before what that would be.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { restClient, type Rest } from '../fixtures/rest.ts';

const PATIENCE = { deadlineMs: 15_000 };

describe.each([
  { schedule: 'PostgreSQL', redis: () => null },
  { schedule: 'Redis', redis: sharedTestRedis },
])('scheduled by $schedule', ({ redis }) => {
  let service: TestApp;
  let receiver: Receiver;
  let developer: Rest;
  let publisher: Rest;
  let path: string;

  beforeAll(async () => {
    [service, receiver] = await Promise.all([startApp({ redis: redis() }), startReceiver()]);
    publisher = restClient(service.http, await service.token('orders', 'service'));
  });
  afterAll(async () => {
    await service.close();
    await receiver.close();
  });

  let user = 0;
  beforeEach(async () => {
    user += 1;
    path = `/replay-${user}`;
    developer = restClient(service.http, await service.token(`user${user}`));
  });

  async function webhookAt(more: object = {}): Promise<string> {
    const { status, body } = await developer('POST', '/api/v1/webhooks', {
      url: receiver.url(path),
      events: ['order.created', 'payment.failed'],
      retry_policy: { max_retries: 0 },
      ...more,
    });
    expect(status).toBe(201);
    return `/api/v1/webhooks/${body.id}`;
  }

  async function publish(count: number, type = 'order.created'): Promise<void> {
    for (let number = 0; number < count; number += 1) {
      const event = { event_type: type, data: { number }, audience: { user_ids: [`user${user}`] } };
      expect((await publisher('POST', '/api/v1/events', event)).status).toBe(202);
    }
  }

  const countOf = async (webhook: string, status: string): Promise<number> => {
    const id = webhook.slice('/api/v1/webhooks/'.length);
    return (await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${id}&status=${status}`)).body.total;
  };

  /** Publishes so many, which the receiver refuses. */
  async function fail(webhook: string, count: number, type?: string): Promise<void> {
    const before = await countOf(webhook, 'failed');
    receiver.script(path, ...Array.from({ length: count }, () => 500), 200);
    await publish(count, type);
    await eventually(async () => (await countOf(webhook, 'failed')) === before + count, { what: 'failures', ...PATIENCE });
  }

  const isOver = async (webhook: string, id: string): Promise<object | false> => {
    const { body } = await developer('GET', `${webhook}/replays/${id}`);
    return body.state === 'completed' && body.released === body.delivered + body.failed + body.cancelled && body;
  };

  test('what failed is sent again, once each, and the replay counts what became of it', async () => {
    const webhook = await webhookAt();
    await fail(webhook, 5);
    const made = await developer('POST', `${webhook}/replays`, { rate: 100 });
    expect(made).toMatchObject({
      status: 202,
      body: {
        id: expect.stringMatching(/^replay_/),
        state: 'running',
        statuses: ['failed'],
        rate: 100,
        matched: 5,
        released: 0,
      },
    });
    expect(made.body).not.toHaveProperty('samples');
    const over = await eventually(() => isOver(webhook, made.body.id), { what: 'the end of the replay', ...PATIENCE });
    expect(over).toMatchObject({ released: 5, delivered: 5, failed: 0, ended_at: expect.any(String) });
    expect(receiver.at(path)).toHaveLength(10);
    expect(await countOf(webhook, 'delivered')).toBe(5);
    const { body } = await developer('GET', `${webhook}/replays`);
    expect(body).toMatchObject({ replays: [{ id: made.body.id, state: 'completed' }], next_page_token: '' });
  });

  test('a dry run counts and shows what would be sent, and does nothing', async () => {
    const webhook = await webhookAt();
    await fail(webhook, 12);
    const { status, body } = await developer('POST', `${webhook}/replays`, { statuses: ['failed'], dry_run: true });
    expect(status).toBe(200);
    expect(body).toMatchObject({ dry_run: true, matched: 12, matched_is_lower_bound: false });
    expect(body.samples).toHaveLength(10);
    expect(body).not.toHaveProperty('id');
    expect((await developer('GET', `${webhook}/replays`)).body.replays).toEqual([]);
    expect(await countOf(webhook, 'failed')).toBe(12);
  });

  test('only what the filter names is sent: types, times, errors and statuses', async () => {
    const webhook = await webhookAt();
    await fail(webhook, 2, 'order.created');
    await fail(webhook, 3, 'payment.failed');
    const since = new Date().toISOString();
    await fail(webhook, 4, 'payment.failed');
    const matched = async (filter: object): Promise<number> =>
      (await developer('POST', `${webhook}/replays`, { ...filter, dry_run: true })).body.matched;
    expect(await matched({ event_types: ['payment.failed'] })).toBe(7);
    expect(await matched({ event_types: ['payment.failed'], until: since })).toBe(3);
    expect(await matched({ since })).toBe(4);
    expect(await matched({ error_codes: ['http_status'], http_statuses: [500] })).toBe(9);
    expect(await matched({ http_statuses: [503] })).toBe(0);
    expect(await matched({ statuses: ['failed', 'delivered', 'cancelled'] })).toBe(9);
    expect(await matched({ statuses: ['delivered'] })).toBe(0);
    const { body } = await developer('POST', `${webhook}/replays`, { event_types: ['order.created'], rate: 100 });
    expect(await eventually(() => isOver(webhook, body.id), PATIENCE)).toMatchObject({ released: 2 });
    expect(await countOf(webhook, 'failed')).toBe(7);
  });

  test('what a disabled webhook lost is sent once it is enabled again', async () => {
    const webhook = await webhookAt({ paused: true });
    await publish(3);
    await developer('PUT', webhook, { is_active: false });
    await eventually(async () => (await countOf(webhook, 'cancelled')) === 3, PATIENCE);
    const refused = await developer('POST', `${webhook}/replays`, { statuses: ['cancelled'] });
    expect(refused).toMatchObject({ status: 409, body: { error: { reason: 'webhook_inactive' } } });
    await developer('PUT', webhook, { is_active: true });
    await developer('POST', `${webhook}/resume`, {});
    const { body } = await developer('POST', `${webhook}/replays`, { statuses: ['cancelled'], rate: 100 });
    expect(await eventually(() => isOver(webhook, body.id), PATIENCE)).toMatchObject({ released: 3, delivered: 3 });
    expect(receiver.at(path)).toHaveLength(3);
  });

  test('what was delivered can be sent again, and every attempt of it stays on record', async () => {
    const webhook = await webhookAt();
    await publish(2);
    await eventually(async () => (await countOf(webhook, 'delivered')) === 2, PATIENCE);
    receiver.script(path, 500, 200);
    const { body } = await developer('POST', `${webhook}/replays`, { statuses: ['delivered'], rate: 100 });
    // One of the two is refused: it stays delivered, and counts as failed here.
    expect(await eventually(() => isOver(webhook, body.id), PATIENCE)).toMatchObject({ released: 2, delivered: 1, failed: 1 });
    expect(await countOf(webhook, 'delivered')).toBe(2);
    const id = webhook.slice('/api/v1/webhooks/'.length);
    const log = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${id}`);
    for (const delivery of log.body.deliveries) {
      const details = await developer('GET', `/api/v1/webhooks/deliveries/${delivery.id}`);
      expect(details.body.attempts.map(({ trigger }: { trigger: string }) => trigger)).toEqual(['automatic', 'manual']);
    }
  });

  test('a webhook that is younger than the events gets them, those of its types and none twice', async () => {
    await publish(3);
    await publish(2, 'payment.failed');
    const webhook = await webhookAt({ events: ['order.created'] });
    await publish(1);
    const filter = { include_missing: true };
    const dry = await developer('POST', `${webhook}/replays`, { ...filter, dry_run: true });
    expect(dry.body).toMatchObject({ matched: 3, samples: [] });
    const first = await developer('POST', `${webhook}/replays`, { ...filter, rate: 100 });
    expect(await eventually(() => isOver(webhook, first.body.id), PATIENCE)).toMatchObject({ released: 3, delivered: 3 });
    const second = await developer('POST', `${webhook}/replays`, { ...filter, rate: 100 });
    expect(await eventually(() => isOver(webhook, second.body.id), PATIENCE)).toMatchObject({ matched: 0, released: 0 });
    await receiver.waitFor(() => receiver.at(path).length === 4);
  });

  test('a replay is paused, resumed at another rate, and cancelled; each call can be repeated', async () => {
    const webhook = await webhookAt();
    await fail(webhook, 30);
    const { body } = await developer('POST', `${webhook}/replays`, { rate: 1 });
    const at = `${webhook}/replays/${body.id}`;
    const paused = { status: 200, body: { state: 'paused' } };
    expect(await developer('POST', `${at}/pause`, {})).toMatchObject(paused);
    expect(await developer('POST', `${at}/pause`, {})).toMatchObject(paused);
    const { released } = (await developer('GET', at)).body;
    expect(released).toBeLessThan(30);
    expect(await developer('POST', `${at}/resume`, { rate: 100 })).toMatchObject({ body: { state: 'running', rate: 100 } });
    await eventually(async () => (await developer('GET', at)).body.released > released, PATIENCE);
    const cancelled = await developer('POST', `${at}/cancel`, {});
    expect(['cancelled', 'completed']).toContain(cancelled.body.state);
    expect((await developer('POST', `${at}/resume`, {})).body.state).toBe(cancelled.body.state);
    const after = await developer('GET', at);
    expect(await countOf(webhook, 'failed')).toBe(30 - after.body.released);
  });

  test('the same again while one has not ended is refused, and names it; and five are as many as may run', async () => {
    // Of a paused webhook no replay ends.
    const webhook = await webhookAt({ paused: true });
    const types = ['payment.failed', 'order.created'];
    const first = await developer('POST', `${webhook}/replays`, { event_types: types });
    const second = await developer('POST', `${webhook}/replays`, { event_types: types.toReversed(), rate: 7 });
    expect(second).toMatchObject({
      status: 409,
      body: { error: { reason: 'replay_exists', details: [{ field: 'replay_id', message: first.body.id }] } },
    });
    expect((await developer('POST', `${webhook}/replays`, { statuses: ['delivered'] })).status).toBe(202);
    const sendsAgain = await developer('POST', `${webhook}/replays`, { statuses: ['failed', 'delivered'] });
    expect(sendsAgain.body.error.reason).toBe('replay_exists');
    for (const status of [500, 502, 503]) await developer('POST', `${webhook}/replays`, { http_statuses: [status] });
    const sixth = await developer('POST', `${webhook}/replays`, { http_statuses: [504] });
    expect(sixth).toMatchObject({ status: 429, body: { error: { reason: 'replay_limit_reached' } } });
    await developer('POST', `${webhook}/replays/${first.body.id}/cancel`, {});
    expect((await developer('POST', `${webhook}/replays`, { http_statuses: [504] })).status).toBe(202);
  });

  test('a replay waits for a webhook that is paused', async () => {
    const webhook = await webhookAt();
    await fail(webhook, 3);
    await developer('POST', `${webhook}/pause`, {});
    const { body } = await developer('POST', `${webhook}/replays`, { rate: 100 });
    const at = `${webhook}/replays/${body.id}`;
    await eventually(async () => (await developer('GET', at)).body.reason === 'webhook_paused', PATIENCE);
    expect((await developer('GET', at)).body).toMatchObject({ state: 'waiting', released: 0 });
    await developer('POST', `${webhook}/resume`, {});
    expect(await eventually(() => isOver(webhook, body.id), PATIENCE)).toMatchObject({ released: 3, delivered: 3 });
  });

  test.each([
    [{ statuses: ['pending'] }, 'statuses[0]'],
    [{ event_types: ['order.eaten'] }, 'event_types[0]'],
    [{ error_codes: ['bad_mood'] }, 'error_codes[0]'],
    [{ statuses: ['delivered'], error_codes: ['timeout'] }, 'error_codes'],
    [{ include_missing: true, http_statuses: [500] }, 'include_missing'],
    [{ since: '2024-01-02T00:00:00Z', until: '2024-01-01T00:00:00Z' }, 'until'],
    [{ since: '2100-01-01T00:00:00Z' }, 'since'],
    [{ rate: 0 }, 'rate'],
    [{ rate: 1001 }, 'rate'],
  ])('%j is refused for its %s, before anything is written', async (filter, field) => {
    const webhook = await webhookAt();
    for (const dryRun of [true, false]) {
      const { status, body } = await developer('POST', `${webhook}/replays`, { ...filter, dry_run: dryRun });
      expect({ status, field: body.error.details[0]?.field }).toEqual({ status: 400, field });
    }
    expect((await developer('GET', `${webhook}/replays`)).body.replays).toEqual([]);
  });

  test('another user’s webhook and replay are not found, like those that do not exist', async () => {
    const webhook = await webhookAt();
    await fail(webhook, 1);
    const { body } = await developer('POST', `${webhook}/replays`, { rate: 1 });
    const mallory = restClient(service.http, await service.token('mallory'));
    const other = restClient(service.http, await service.token(`user${user}`));
    const otherWebhook = (await other('POST', '/api/v1/webhooks', { url: receiver.url(path), events: ['order.created'] })).body
      .id;
    const calls: [Rest, 'GET' | 'POST', string][] = [
      [mallory, 'POST', `${webhook}/replays`],
      [mallory, 'GET', `${webhook}/replays`],
      [mallory, 'GET', `${webhook}/replays/${body.id}`],
      [mallory, 'POST', `${webhook}/replays/${body.id}/cancel`],
      // Of another webhook of the same user.
      [developer, 'GET', `/api/v1/webhooks/${otherWebhook}/replays/${body.id}`],
      [developer, 'POST', `/api/v1/webhooks/${otherWebhook}/replays/${body.id}/pause`],
    ];
    for (const [caller, method, at] of calls) {
      const answer = await caller(method, at, ...(method === 'POST' ? [{}] : []));
      expect([at, answer.status, answer.body.error?.reason]).toEqual([at, 404, 'not_found']);
    }
  });

  test('a call that is repeated with its key makes one replay', async () => {
    const webhook = await webhookAt();
    await fail(webhook, 1);
    const call = () => developer('POST', `${webhook}/replays`, { rate: 1, idempotency_key: `replay-${user}` });
    const first = await call();
    const again = await call();
    expect(again.body.id).toBe(first.body.id);
    expect((await developer('GET', `${webhook}/replays`)).body.replays).toHaveLength(1);
    // Before anything is looked at or counted: the webhook may be gone.
    await developer('DELETE', webhook);
    expect(await call()).toMatchObject({ status: 202, body: { id: first.body.id } });
  });
});
