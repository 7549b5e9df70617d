// What the engine does for webhooks that fail, go away, change or ask for less.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, schedules } from '../fixtures/scenario.ts';

const DEADLINE_MS = 30_000;

describe.each(schedules)('scheduled by $schedule', ({ redis }) => {
  let service: TestApp;
  let receiver: Receiver;
  let notified: Receiver;
  let admin: Rest;
  let users = 0;

  beforeAll(async () => {
    [receiver, notified] = await Promise.all([startReceiver(), startReceiver()]);
    service = await startApp({
      redis: redis(),
      env: {
        NOTIFICATION_SERVICE_URL: notified.url('/notices'),
        WEBHOOK_DISABLE_AFTER: '0.1',
        WEBHOOK_DISABLE_AFTER_FAILURES: '3',
      },
    });
    admin = await service.as('operator', 'admin');
  }, 60_000);
  afterAll(async () => {
    await service.close();
    await Promise.all([receiver.close(), notified.close()]);
  });

  async function webhookOf(path: string, fields: object = {}): Promise<{ id: string; user: string }> {
    users += 1;
    const user = `user_${users}`;
    const { id } = await createWebhook(admin, receiver.url(path), {
      user_id: user,
      retry_policy: { max_retries: 1, retry_delay: 0.1 },
      ...fields,
    });
    return { id, user };
  }

  async function publishTo(user: string, count = 1): Promise<void> {
    const events = Array.from({ length: count }, (_, n) => ({
      event_type: 'order.created',
      data: { n },
      audience: { user_ids: [user] },
    }));
    expect((await admin('POST', '/api/v1/events/batch', { events })).body.accepted).toBe(count);
  }

  const statusesOf = async (id: string): Promise<string[]> =>
    (await admin('GET', `/api/v1/webhooks/deliveries?webhook_id=${id}&limit=100`)).body.deliveries.map(
      (delivery: { status: string }) => delivery.status,
    );

  test('410 disables the webhook, cancels what waits, and sends a notice and the updates', async () => {
    receiver.script('/gone', { status: 410, delayMs: 300 });
    const { id, user } = await webhookOf('/gone');
    await publishTo(user, 40);
    const webhook = await eventually(
      async () => {
        const { body } = await admin('GET', `/api/v1/webhooks/${id}`);
        return body.is_active === false && body;
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(webhook.health).toMatchObject({ disabled_reason: 'gone' });
    const statuses = await eventually(
      async () => {
        const found = await statusesOf(id);
        return found.length === 40 && found.every((status) => status === 'failed' || status === 'cancelled') && found;
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(statuses).toContain('cancelled');
    // Only what was in flight when the first answer came.
    expect(receiver.at('/gone').length).toBeLessThanOrEqual(16);
    const notice = await notified.waitFor(
      (requests) =>
        requests
          .map((request) => JSON.parse(request.body.toString()))
          .find((found) => found.data.webhook_id === id && found.type === 'webhook.disabled'),
      DEADLINE_MS,
    );
    expect(notice.data).toMatchObject({ user_id: user, reason: 'gone' });
  });

  test('a webhook that fails for too long and too often is disabled, and enabling it starts afresh', async () => {
    receiver.script('/failing', 500);
    const { id, user } = await webhookOf('/failing', { retry_policy: { max_retries: 0, retry_delay: 0.1 } });
    await publishTo(user);
    await eventually(async () => (await statusesOf(id))[0] === 'failed', { deadlineMs: DEADLINE_MS });
    expect((await admin('GET', `/api/v1/webhooks/${id}`)).body).toMatchObject({
      is_active: true,
      health: { consecutive_failures: 1 },
    });
    const webhook = await eventually(
      async () => {
        await publishTo(user);
        const { body } = await admin('GET', `/api/v1/webhooks/${id}`);
        return body.is_active === false && body;
      },
      { deadlineMs: DEADLINE_MS, intervalMs: 100 },
    );
    expect(webhook.health.disabled_reason).toBe('failing');
    expect(webhook.health.consecutive_failures).toBeGreaterThanOrEqual(3);
    const enabled = await admin('PUT', `/api/v1/webhooks/${id}`, { is_active: true });
    expect(enabled.body).toMatchObject({ is_active: true, health: { consecutive_failures: 0, disabled_reason: '' } });
  });

  test('with on_failing hold, a webhook that fails for too long is paused: what waits is held, its owner gets a notice, and resuming sends it', async () => {
    receiver.script('/held', 500);
    const policy = { max_retries: 20, retry_delay: 0.1 };
    const { id, user } = await webhookOf('/held', { on_failing: 'hold', retry_policy: policy });
    await publishTo(user, 20);
    const paused = await eventually(
      async () => {
        const { body } = await admin('GET', `/api/v1/webhooks/${id}`);
        return body.paused === true && body.health.held === 20 && body;
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(paused).toMatchObject({
      is_active: true,
      on_failing: 'hold',
      health: { disabled_reason: '', paused_reason: 'failing', paused_at: expect.any(String) },
    });
    await eventually(async () => (await statusesOf(id)).every((status) => status === 'pending'), { deadlineMs: DEADLINE_MS });
    const notice = await notified.waitFor(
      (requests) =>
        requests
          .map((request) => JSON.parse(request.body.toString()))
          .find((found) => found.data.webhook_id === id && found.type === 'webhook.paused'),
      DEADLINE_MS,
    );
    expect(notice.data).toMatchObject({ user_id: user, reason: 'failing' });

    receiver.script('/held', 200);
    const resumed = await admin('POST', `/api/v1/webhooks/${id}/resume`, { rate: 1000 });
    expect(resumed.body).toMatchObject({ paused: false, health: { consecutive_failures: 0, paused_reason: '' } });
    expect(resumed.body.health).not.toHaveProperty('paused_at');
    await eventually(
      async () => {
        const statuses = await statusesOf(id);
        return statuses.length === 20 && statuses.every((status) => status === 'delivered');
      },
      { deadlineMs: DEADLINE_MS },
    );
  });

  test('on_failing can be changed and put back, is refused when it is none, and 410 disables a webhook all the same', async () => {
    receiver.script('/gone-all-the-same', 410);
    const { id, user } = await webhookOf('/gone-all-the-same');
    const put = async (body: object) => await admin('PUT', `/api/v1/webhooks/${id}`, body);
    expect((await put({ on_failing: 'hold' })).body.on_failing).toBe('hold');
    expect((await put({ description: 'unchanged' })).body.on_failing).toBe('hold');
    expect((await put({ on_failing: null })).body.on_failing).toBe('disable');
    expect(await put({ on_failing: 'forget' })).toMatchObject({
      status: 400,
      body: { error: { reason: 'field_invalid', details: [{ field: 'on_failing' }] } },
    });
    await put({ on_failing: 'hold' });
    await publishTo(user);
    const webhook = await eventually(
      async () => {
        const { body } = await admin('GET', `/api/v1/webhooks/${id}`);
        return body.is_active === false && body;
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(webhook).toMatchObject({ paused: false, health: { disabled_reason: 'gone', paused_reason: '' } });
  });

  test('one success resets the count of failures', async () => {
    receiver.script('/recovers', 500, 200);
    const { id, user } = await webhookOf('/recovers');
    await publishTo(user);
    await eventually(async () => (await statusesOf(id))[0] === 'delivered', { deadlineMs: DEADLINE_MS });
    const { body } = await admin('GET', `/api/v1/webhooks/${id}`);
    expect(body.health.consecutive_failures).toBe(0);
    expect(body.health.failing_since).toBeUndefined();
  });

  test('a try whose process died while it leased the row is on record, from whichever schedule the next one comes', async () => {
    receiver.script('/died', 500, 200);
    const { id, user } = await webhookOf('/died', { retry_policy: { max_retries: 3, retry_delay: 2 } });
    await publishTo(user);
    await eventually(async () => (await statusesOf(id))[0] === 'retrying', { deadlineMs: DEADLINE_MS });
    await service.database.pool.query(
      `update deliveries set leased_until = now() - interval '1 second' where webhook_id = $1`,
      [id],
    );
    await eventually(async () => (await statusesOf(id))[0] === 'delivered', { deadlineMs: DEADLINE_MS });
    const [delivery] = (await admin('GET', `/api/v1/webhooks/deliveries?webhook_id=${id}`)).body.deliveries;
    const { body } = await admin('GET', `/api/v1/webhooks/deliveries/${delivery.id}`);
    const tried = body.attempts.map((attempt: { number: number; error_code?: string }) => [attempt.number, attempt.error_code]);
    expect(tried).toEqual([
      [1, 'http_status'],
      [2, 'lease_expired'],
      [3, undefined],
    ]);
    expect(receiver.at('/died').at(-1)?.headers).toMatchObject({ 'x-homechef-attempt': '3' });
  });

  test('what is committed where it is sent is leased on insert, so that no other process claims it', async () => {
    receiver.script('/slow', { status: 200, delayMs: 1000 });
    const { id, user } = await webhookOf('/slow');
    await publishTo(user);
    const { rows } = await service.database.pool.query<{ status: string; isLeased: boolean; isScheduled: boolean }>(
      `select status, leased_until > now() as "isLeased", next_attempt_at is not null as "isScheduled"
       from deliveries where webhook_id = $1`,
      [id],
    );
    expect(rows).toEqual([{ status: 'pending', isLeased: true, isScheduled: false }]);
    await eventually(async () => (await statusesOf(id))[0] === 'delivered', { deadlineMs: DEADLINE_MS });
  });

  test('a changed url and header apply from the next attempt on', async () => {
    receiver.script('/before', 500);
    const { id, user } = await webhookOf('/before', { retry_policy: { max_retries: 3, retry_delay: 1 } });
    await publishTo(user);
    await receiver.waitFor(() => receiver.at('/before').length === 1, DEADLINE_MS);
    await admin('PUT', `/api/v1/webhooks/${id}`, { url: receiver.url('/after'), custom_headers: { 'X-Shop': 'north' } });
    await receiver.waitFor(() => receiver.at('/after').length === 1, DEADLINE_MS);
    expect(receiver.at('/after')[0]?.headers).toMatchObject({ 'x-shop': 'north', 'x-homechef-attempt': '2' });
    expect(receiver.at('/before')).toHaveLength(1);
  });

  test('a rate limit is kept, and everything still arrives', async () => {
    const { id, user } = await webhookOf('/paced', { rate_limit: 5 });
    await publishTo(user, 15);
    await eventually(async () => (await statusesOf(id)).filter((status) => status === 'delivered').length === 15, {
      deadlineMs: DEADLINE_MS,
    });
    const times = receiver.at('/paced').map((request) => request.atMs);
    // Five a second, in windows that a sixth request may only open anew.
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(1000);
    expect(times).toHaveLength(15);
  });

  test('a webhook that hangs delays no other', async () => {
    receiver.script('/hangs', 'hang');
    const hanging = await webhookOf('/hangs', { retry_policy: { max_retries: 0, timeout: 1 } });
    const healthy = await webhookOf('/healthy');
    await publishTo(hanging.user, 1000);
    await publishTo(healthy.user, 20);
    await eventually(async () => (await statusesOf(healthy.id)).filter((status) => status === 'delivered').length === 20, {
      deadlineMs: DEADLINE_MS,
    });
    expect((await statusesOf(hanging.id)).some((status) => status === 'pending')).toBe(true);
    await admin('DELETE', `/api/v1/webhooks/${hanging.id}`);
  });

  test('a receiver that was away and is back gets all that waits, at once', async () => {
    const ABSENCES = 9;
    receiver.script('/away', ...Array.from({ length: ABSENCES }, () => 'reset' as const), 200);
    const { id, user } = await webhookOf('/away', { retry_policy: { max_retries: 10, retry_delay: 0.1 } });
    await publishTo(user, 40);
    await eventually(
      async () => {
        const found = await statusesOf(id);
        return found.length === 40 && found.every((status) => status === 'delivered');
      },
      { deadlineMs: DEADLINE_MS },
    );
    const [probe, ...others] = receiver.at('/away').slice(ABSENCES);
    expect(others.length).toBeGreaterThan(0);
    // The longest pause is ten seconds; each delivery with a probe of its own would take minutes.
    expect((others.at(-1)?.atMs ?? Infinity) - (probe?.atMs ?? 0)).toBeLessThan(10_000);
  });

  test('a receiver that takes its time gets what waits as fast as it answers', async () => {
    receiver.script('/leisurely', { status: 200, delayMs: 150 });
    const { user } = await webhookOf('/leisurely');
    for (let n = 0; n < 4; n += 1) await publishTo(user, 100);
    // Sixteen at a time take four seconds; sixteen whenever the schedule is looked at anyway would take twenty-five.
    await eventually(() => receiver.requests.filter(({ path }) => path === '/leisurely').length === 400, {
      deadlineMs: 15_000,
    });
  });

  test('what was delivered stays delivered when sending it again fails', async () => {
    receiver.script('/replayed', 200, 500);
    const { id, user } = await webhookOf('/replayed');
    await publishTo(user);
    await eventually(async () => (await statusesOf(id))[0] === 'delivered', { deadlineMs: DEADLINE_MS });
    const { body } = await admin('GET', `/api/v1/webhooks/deliveries?webhook_id=${id}`);
    const delivery = body.deliveries[0];
    expect((await admin('POST', `/api/v1/webhooks/deliveries/${delivery.id}/retry`)).status).toBe(202);
    const again = await eventually(
      async () => {
        const found = (await admin('GET', `/api/v1/webhooks/deliveries/${delivery.id}`)).body;
        return found.attempt_count === 2 && found;
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(again).toMatchObject({ status: 'delivered', http_status: 500, delivered_at: delivery.delivered_at });
    expect(again.attempts.map((attempt: any) => [attempt.number, attempt.http_status, attempt.trigger])).toEqual([
      [1, 200, 'automatic'],
      [2, 500, 'manual'],
    ]);
  });

  test('a delivery given up is reported to the notification service', async () => {
    receiver.script('/hopeless', 500);
    const { id, user } = await webhookOf('/hopeless', { retry_policy: { max_retries: 0 } });
    await publishTo(user);
    const notice = await notified.waitFor(
      (requests) =>
        requests.map((request) => JSON.parse(request.body.toString())).find((found) => found.data.webhook_id === id),
      DEADLINE_MS,
    );
    expect(notice).toMatchObject({ type: 'delivery.given_up', data: { error_code: 'http_status', attempts: 1 } });
  });
});
