// A webhook that the service stopped for failing is probed, and comes back by itself.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, schedules } from '../fixtures/scenario.ts';
import { bearer, openSocket } from '../realtime/watching.ts';

const DEADLINE_MS = 30_000;

describe.each(schedules)('scheduled by $schedule', ({ redis }) => {
  let service: TestApp;
  let receiver: Receiver;
  let notified: Receiver;
  let admin: Rest;
  /** Of a service that stops webhooks after ten failures. */
  let patient: TestApp;
  let patientAdmin: Rest;
  let users = 0;

  beforeAll(async () => {
    [receiver, notified] = await Promise.all([startReceiver(), startReceiver()]);
    service = await startApp({
      redis: redis(),
      env: {
        NOTIFICATION_SERVICE_URL: notified.url('/notices'),
        WEBHOOK_DISABLE_AFTER: '0.1',
        WEBHOOK_DISABLE_AFTER_FAILURES: '3',
        WEBHOOK_PROBE_INTERVAL: '0.3',
      },
    });
    admin = await service.as('operator', 'admin');
    patient = await startApp({
      redis: redis(),
      env: {
        NOTIFICATION_SERVICE_URL: notified.url('/notices'),
        WEBHOOK_DISABLE_AFTER: '0.1',
        WEBHOOK_DISABLE_AFTER_FAILURES: '10',
      },
    });
    patientAdmin = await patient.as('operator', 'admin');
  }, 60_000);
  afterAll(async () => {
    await Promise.all([service.close(), patient.close()]);
    await Promise.all([receiver.close(), notified.close()]);
  });

  async function stopped(path: string, fields: object): Promise<{ id: string; user: string }> {
    receiver.script(path, 500);
    users += 1;
    const user = `user_${users}`;
    const policy = { max_retries: 20, retry_delay: 0.1 };
    const { id } = await createWebhook(admin, receiver.url(path), { user_id: user, retry_policy: policy, ...fields });
    await publish(user, 10);
    await until(id, ({ is_active: isActive, paused }) => !isActive || paused);
    return { id, user };
  }

  async function publish(user: string, count: number, by = admin): Promise<void> {
    const audience = { user_ids: [user] };
    const events = Array.from({ length: count }, (_, n) => ({ event_type: 'order.created', data: { n }, audience }));
    expect((await by('POST', '/api/v1/events/batch', { events })).body.accepted).toBe(count);
  }

  const until = async (id: string, condition: (webhook: any) => boolean): Promise<any> =>
    eventually(
      async () => {
        const { body } = await admin('GET', `/api/v1/webhooks/${id}`);
        return condition(body) && body;
      },
      { deadlineMs: DEADLINE_MS },
    );

  const probesAt = (path: string) => receiver.at(path).filter(({ headers }) => headers['x-homechef-event'] === 'webhook.ping');

  const historyOf = async (id: string): Promise<{ action: string; by: string; reason: string; fields: unknown }[]> =>
    (await admin('GET', `/api/v1/webhooks/${id}/history`)).body.changes;

  /** The notices that the owner of webhooks gets over a WebSocket. */
  async function socketOf(user: string) {
    const { socket, messages } = openSocket(service.http, '', bearer(await service.token(user)));
    await eventually(() => messages.length > 0, { deadlineMs: DEADLINE_MS });
    return {
      socket,
      notice: (type: string) =>
        eventually(() => messages.find((message) => message.type === type), { deadlineMs: DEADLINE_MS }),
    };
  }

  const noticeOf = async (id: string, type: string): Promise<any> =>
    notified.waitFor(
      (requests) =>
        requests
          .map((request) => JSON.parse(request.body.toString()))
          .find((found) => found.data.webhook_id === id && found.type === type),
      DEADLINE_MS,
    );

  test('a disabled webhook is asked with a ping until that succeeds, and is enabled then; its owner gets a notice and an entry in the history', async () => {
    const { id, user } = await stopped('/disabled', {});
    const disabled = await until(id, ({ is_active: isActive }) => !isActive);
    expect(disabled.health).toMatchObject({ disabled_reason: 'failing', next_probe_at: expect.any(String) });
    await eventually(() => probesAt('/disabled').length >= 2, { deadlineMs: DEADLINE_MS });
    expect((await admin('GET', `/api/v1/webhooks/${id}`)).body.is_active).toBe(false);

    const { socket, notice } = await socketOf(user);
    receiver.script('/disabled', 200);
    const enabled = await until(id, ({ is_active: isActive }) => isActive);
    expect(enabled.health).toMatchObject({ consecutive_failures: 0, disabled_reason: '' });
    expect(enabled.health).not.toHaveProperty('next_probe_at');
    expect((await historyOf(id))[0]).toMatchObject({
      action: 'enabled',
      by: 'system',
      reason: 'receiver_back',
      fields: [
        { field: 'is_active', old: false, new: true },
        { field: 'disabled_reason', old: 'failing', new: null },
      ],
    });
    expect((await notice('webhook_enabled')).data).toEqual({
      webhook_id: id,
      reason: 'receiver_back',
      enabled_at: expect.stringMatching(/Z$/),
    });
    socket.close();
    expect((await noticeOf(id, 'webhook.enabled')).data).toMatchObject({ user_id: user, reason: 'receiver_back' });
    await publish(user, 1);
    await receiver.waitFor(
      (requests) =>
        requests.some(({ path, headers }) => path === '/disabled' && headers['x-homechef-event'] === 'order.created'),
      DEADLINE_MS,
    );
  });

  test('the owner of a webhook that is paused and resumed by the service is sent both over a WebSocket', async () => {
    const path = '/watched';
    const user = `user_${(users += 1)}`;
    const { socket, notice } = await socketOf(user);
    receiver.script(path, 500);
    const policy = { max_retries: 20, retry_delay: 0.1 };
    const { id } = await createWebhook(admin, receiver.url(path), { user_id: user, retry_policy: policy, on_failing: 'hold' });
    await publish(user, 3);
    expect((await notice('webhook_paused')).data).toEqual({
      webhook_id: id,
      reason: 'failing',
      paused_at: expect.stringMatching(/Z$/),
    });
    receiver.script(path, 200);
    expect((await notice('webhook_resumed')).data).toMatchObject({ webhook_id: id, reason: 'receiver_back' });
    socket.close();
  });

  test('a receiver that refuses the oldest held delivery, and takes all others, is found to be back', async () => {
    const path = '/poisoned';
    const { id } = await stopped(path, { on_failing: 'hold' });
    await until(id, ({ health }) => health.held === 10);
    const list = `/api/v1/webhooks/deliveries?webhook_id=${id}&limit=100`;
    const before: { id: string }[] = (await admin('GET', list)).body.deliveries;
    const oldest = before.map((delivery) => delivery.id).toSorted()[0] ?? '';
    receiver.script(path, (socket, { headers }) =>
      socket.write(`HTTP/1.1 ${headers['webhook-id'] === oldest ? 500 : 200} Whatever\r\ncontent-length: 0\r\n\r\n`),
    );
    await until(id, (webhook) => !webhook.paused);
    await eventually(async () => (await admin('GET', `${list}&status=delivered`)).body.deliveries.length === 9, {
      deadlineMs: DEADLINE_MS,
    });
    expect((await historyOf(id)).map(({ action }) => action)).toContain('resumed');
  });

  test('a held webhook is asked with its oldest deliveries in turn, which stay held until one succeeds, and is resumed then: each one arrives', async () => {
    const { id, user } = await stopped('/held', { on_failing: 'hold' });
    const paused = await until(id, ({ health }) => health.held === 10);
    expect(paused.health).toMatchObject({ paused_reason: 'failing', next_probe_at: expect.any(String) });
    const list = `/api/v1/webhooks/deliveries?webhook_id=${id}&limit=100`;
    const before = (await admin('GET', list)).body.deliveries;
    const oldest = before.map(({ id: deliveryId }: { id: string }) => deliveryId).toSorted()[0];
    const attemptsOf = async (): Promise<any> => (await admin('GET', `/api/v1/webhooks/deliveries/${oldest}`)).body;
    const { attempts: already } = await attemptsOf();
    await eventually(async () => (await attemptsOf()).attempts.length >= already.length + 2, { deadlineMs: DEADLINE_MS });
    expect(await attemptsOf()).toMatchObject({ status: 'pending' });
    expect((await admin('GET', `/api/v1/webhooks/${id}`)).body).toMatchObject({ paused: true, health: { held: 10 } });

    receiver.script('/held', 200);
    await until(id, (webhook) => !webhook.paused);
    await eventually(
      async () => {
        const { deliveries } = (await admin('GET', list)).body;
        return deliveries.length === 10 && deliveries.every(({ status }: { status: string }) => status === 'delivered');
      },
      { deadlineMs: DEADLINE_MS },
    );
    expect(probesAt('/held')).toEqual([]);
    expect((await historyOf(id))[0]).toMatchObject({ action: 'resumed', by: 'system', reason: 'receiver_back' });
    expect((await noticeOf(id, 'webhook.resumed')).data).toMatchObject({ user_id: user, reason: 'receiver_back' });
  });

  test('a held webhook that takes events of a key in their order is asked with the first of the key, and gets the others behind it', async () => {
    receiver.script('/ordered', 500);
    const user = 'ordered';
    const { id } = await createWebhook(admin, receiver.url('/ordered'), {
      user_id: user,
      ordering: 'key',
      on_failing: 'hold',
      retry_policy: { max_retries: 20, retry_delay: 0.1 },
    });
    const events = Array.from({ length: 10 }, (_, n) => ({
      event_type: 'order.created',
      data: { n },
      audience: { user_ids: [user] },
      ordering_key: 'order_1',
    }));
    expect((await admin('POST', '/api/v1/events/batch', { events })).body.accepted).toBe(10);
    await until(id, ({ paused }) => paused);
    const askedBefore = receiver.at('/ordered').length;
    await eventually(() => receiver.at('/ordered').length >= askedBefore + 2, { deadlineMs: DEADLINE_MS });

    receiver.script('/ordered', 200);
    await until(id, (webhook) => !webhook.paused);
    // A ping is sent while nothing is in the hold yet.
    const orders = () => receiver.at('/ordered').filter(({ headers }) => headers['x-homechef-event'] === 'order.created');
    const sequences = () => [...new Set(orders().map(({ headers }) => Number(headers['x-homechef-sequence'])))];
    await eventually(() => sequences().length === 10, { deadlineMs: DEADLINE_MS });
    expect(sequences()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('410 to a probe is final: the webhook is disabled as gone, and asked no more', async () => {
    const { id } = await stopped('/gone', {});
    receiver.script('/gone', 410);
    const gone = await until(id, ({ health }) => health.disabled_reason === 'gone');
    expect(gone.health).not.toHaveProperty('next_probe_at');
    expect((await historyOf(id))[0]).toMatchObject({ action: 'disabled', by: 'system', reason: 'gone' });

    const held = await stopped('/gone-held', { on_failing: 'hold' });
    receiver.script('/gone-held', 410);
    const goneToo = await until(held.id, ({ is_active: isActive }) => !isActive);
    expect(goneToo.health).toMatchObject({ disabled_reason: 'gone' });
    expect(goneToo.health).not.toHaveProperty('next_probe_at');
  });

  test('an owner who disables or pauses what the service has stopped is not overruled', async () => {
    const disabled = await stopped('/own-disabled', {});
    const { body: off } = await admin('PUT', `/api/v1/webhooks/${disabled.id}`, { is_active: false });
    expect(off.health).not.toHaveProperty('next_probe_at');
    const held = await stopped('/own-paused', { on_failing: 'hold' });
    const { body: paused } = await admin('POST', `/api/v1/webhooks/${held.id}/pause`, {});
    expect(paused).toMatchObject({ paused: true, health: { paused_reason: '' } });
    expect(paused.health).not.toHaveProperty('next_probe_at');

    // While another one is probed and comes back, these two stay as they are.
    const other = await stopped('/own-other', {});
    for (const path of ['/own-disabled', '/own-paused', '/own-other']) receiver.script(path, 200);
    await until(other.id, ({ is_active: isActive }) => isActive);
    expect((await admin('GET', `/api/v1/webhooks/${disabled.id}`)).body.is_active).toBe(false);
    expect((await admin('GET', `/api/v1/webhooks/${held.id}`)).body.paused).toBe(true);
  });

  test('the owner of a failing webhook gets a notice at half and at four fifths of the way to being stopped, once each in a run of failures', async () => {
    receiver.script('/on-the-way', 500);
    users += 1;
    const user = `user_${users}`;
    const { id } = await createWebhook(patientAdmin, receiver.url('/on-the-way'), {
      user_id: user,
      retry_policy: { max_retries: 0 },
    });
    const failuresOf = async (): Promise<number> =>
      (await patientAdmin('GET', `/api/v1/webhooks/${id}`)).body.health.consecutive_failures;
    const percents = (): number[] =>
      notified.requests
        .map((request) => JSON.parse(request.body.toString()))
        .filter(({ type, data }) => type === 'webhook.failing' && data.webhook_id === id)
        .map(({ data }) => data.percent);
    const failTo = async (count: number): Promise<void> => {
      for (let failures = await failuresOf(); failures < count; failures += 1) {
        await publish(user, 1, patientAdmin);
        await eventually(async () => (await failuresOf()) > failures, { deadlineMs: DEADLINE_MS });
      }
    };
    // From then on the number of failures decides: the time is over.
    const failFor = async (ms: number): Promise<void> => {
      await failTo(1);
      const isOver = ({ health }: any): boolean => Date.parse(health.failing_since) < Date.now() - ms;
      await eventually(async () => isOver((await patientAdmin('GET', `/api/v1/webhooks/${id}`)).body), {
        deadlineMs: DEADLINE_MS,
      });
    };
    await failFor(200);
    await failTo(5);
    await eventually(() => percents().length >= 1, { deadlineMs: DEADLINE_MS });
    await failTo(9);
    await eventually(() => percents().length >= 2, { deadlineMs: DEADLINE_MS });
    expect(percents()).toEqual([50, 80]);
    receiver.script('/on-the-way', 200);
    await publish(user, 1, patientAdmin);
    await eventually(async () => (await failuresOf()) === 0, { deadlineMs: DEADLINE_MS });
    receiver.script('/on-the-way', 500);
    await failFor(200);
    await failTo(5);
    await eventually(() => percents().length >= 3, { deadlineMs: DEADLINE_MS });
    expect(percents()).toEqual([50, 80, 50]);
  });
});
