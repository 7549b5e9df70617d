// Collapse keys from outside: of a state that changes a receiver gets the newest, and what callers and watchers see of the rest.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish, schedules, startScenario, type Scenario } from '../fixtures/scenario.ts';

const PATIENCE = { deadlineMs: 30_000 };

describe.each(schedules)('in the schedule in $schedule', ({ schedule, redis }) => {
  let scenario: Scenario;
  let service: TestApp;
  let receiver: Receiver;
  let publisher: Rest;
  let developer: Rest;
  let user = '';
  let number = 0;

  beforeAll(async () => {
    scenario = await startScenario({ redis: redis() });
    ({ service, receiver, publisher } = scenario);
  });
  afterAll(() => scenario.close());
  beforeEach(async () => {
    number += 1;
    user = `user-${schedule}-${number}`;
    developer = await service.as(user);
  });

  const webhook = async (fields: object = {}): Promise<string> =>
    (await createWebhook(developer, receiver.url(`/${user}`), fields)).id;
  const send = (n: number, fields: object = {}) =>
    publish(publisher, [user], { data: { n }, collapse_key: 'courier-1', ...fields });
  const arrived = (): number[] => receiver.at(`/${user}`).map(({ body }) => JSON.parse(body.toString()).data.n);
  /** The oldest first. */
  async function deliveries(): Promise<Record<string, string>[]> {
    const { body } = await developer('GET', '/api/v1/webhooks/deliveries?limit=100');
    return body.deliveries.toReversed();
  }
  const isEnded = async (): Promise<boolean> =>
    (await deliveries()).every(({ status }) => status === 'delivered' || status === 'cancelled');

  test('while a receiver is slow, only the newest waits, and it comes when the request before it has ended', async () => {
    const webhookId = await webhook();
    let respond: () => void = () => undefined;
    receiver.script(`/${user}`, (socket) => (respond = () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')), 200);
    const told: { data?: Record<string, unknown> }[] = [];
    const token = await service.token(user, 'developer');
    const socket = new WebSocket(`${service.http.replace('http', 'ws')}/ws`, ['homechef.v1', `bearer.${token}`]);
    socket.on('message', (text: Buffer) => told.push(JSON.parse(text.toString())));
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
    await send(1);
    await eventually(() => arrived().length === 1, PATIENCE);
    for (const n of [2, 3, 4]) await send(n);
    const [first, second, third, newest] = await deliveries();
    const superseded = { status: 'cancelled', cancel_reason: 'superseded', collapse_key: 'courier-1' };
    expect([first, second, third]).toMatchObject([superseded, superseded, superseded]);
    expect(newest).toMatchObject({ status: 'pending', collapse_key: 'courier-1' });
    // Only an ordering key has numbers.
    expect(newest).not.toHaveProperty('sequence');
    expect(newest).not.toHaveProperty('ordering_key');
    expect(arrived()).toEqual([1]);

    respond();
    await eventually(isEnded, PATIENCE);
    expect(arrived()).toEqual([1, 4]);
    expect((await deliveries()).map(({ status }) => status)).toEqual(['delivered', 'cancelled', 'cancelled', 'delivered']);
    const ended = (): unknown[] => told.filter(({ data }) => data?.['delivery_id'] === second?.['id']).map(({ data }) => data);
    await eventually(() => ended().length > 0, PATIENCE);
    expect(ended()).toMatchObject([{ status: 'cancelled', cancel_reason: 'superseded', collapse_key: 'courier-1' }]);
    socket.close();

    const explained = await developer('GET', `/api/v1/webhooks/${webhookId}/explain?delivery_id=${second?.['id']}`);
    expect(explained.body).toMatchObject({ verdict: 'ended', summary: expect.stringContaining('courier-1') });
    const retried = await developer('POST', `/api/v1/webhooks/deliveries/${second?.['id']}/retry`, {});
    expect(retried).toMatchObject({ status: 409, body: { error: { reason: 'delivery_superseded' } } });
    const replay = await developer('POST', `/api/v1/webhooks/${webhookId}/replays`, {
      statuses: ['cancelled', 'delivered'],
      dry_run: true,
    });
    expect(replay.body).toMatchObject({ matched: 1, samples: [{ id: newest?.['id'] }] });
  });

  test('a flood of changes arrives in ascending order, one at a time, and the last one last', async () => {
    await webhook();
    for (let n = 1; n <= 40; n += 1) await send(n);
    await eventually(isEnded, PATIENCE);
    expect(arrived().at(-1)).toBe(40);
    expect(arrived()).toEqual(arrived().toSorted((a, b) => a - b));
  });

  test('after a failure the newest goes at once, and what failed is not tried again', async () => {
    await webhook({ retry_policy: { max_retries: 5, retry_delay: 3600, timeout: 5 } });
    receiver.script(`/${user}`, 500, 200);
    await send(1);
    await eventually(async () => (await deliveries())[0]?.['status'] === 'retrying', PATIENCE);
    await send(2);
    await eventually(isEnded, PATIENCE);
    expect(arrived()).toEqual([1, 2]);
    expect(await deliveries()).toMatchObject([{ cancel_reason: 'superseded', attempt_count: 1 }, { status: 'delivered' }]);
  });

  test('a paused webhook keeps the newest alone, and its release sends it', async () => {
    const webhookId = await webhook();
    await developer('POST', `/api/v1/webhooks/${webhookId}/pause`, {});
    for (const n of [1, 2, 3]) await send(n);
    await send(10, { collapse_key: 'courier-2' });
    expect((await deliveries()).map(({ status }) => status)).toEqual(['cancelled', 'cancelled', 'pending', 'pending']);
    await developer('POST', `/api/v1/webhooks/${webhookId}/resume`, {});
    await eventually(isEnded, PATIENCE);
    expect(arrived().toSorted((a, b) => a - b)).toEqual([3, 10]);
  });

  test('in one batch only the newest of a key is sent, and the publisher is answered for each', async () => {
    await webhook();
    const events = [1, 2, 3].map((n) => ({
      event_type: 'order.created',
      data: { n },
      audience: { user_ids: [user] },
      collapse_key: 'courier-1',
    }));
    const { body } = await publisher('POST', '/api/v1/events/batch', { events });
    expect(body).toMatchObject({ accepted: 3, rejected: 0 });
    await eventually(isEnded, PATIENCE);
    expect(arrived().at(-1)).toBe(3);
    const counted = await fetch(`${service.app.addresses.metrics}/metrics`).then((response) => response.text());
    expect(counted).toMatch(/deliveries_cancelled_total\{[^}]*reason="superseded"[^}]*\} [1-9]/);
  });
});
