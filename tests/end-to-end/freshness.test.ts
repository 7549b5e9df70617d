// Deadlines from outside: events that are of use until a moment, and what receivers, callers, watchers and explanations see of it.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import type { TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { startScenario, type Scenario } from '../fixtures/scenario.ts';

const PATIENCE = { deadlineMs: 30_000 };

let scenario: Scenario;
let service: TestApp;
let receiver: Receiver;
let publisher: Rest;
let developer: Rest;
let user = '';
let number = 0;

beforeAll(async () => {
  scenario = await startScenario();
  ({ service, receiver, publisher } = scenario);
});
afterAll(() => scenario.close());
beforeEach(async () => {
  number += 1;
  user = `user${number}`;
  developer = await service.as(user);
});

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
const event = (n: number, more: object = {}) => ({
  event_type: 'order.created',
  data: { n },
  audience: { user_ids: [user] },
  ...more,
});

async function webhook(more: object = {}): Promise<string> {
  const { status, body } = await developer('POST', '/api/v1/webhooks', {
    url: receiver.url(`/${user}`),
    events: ['order.created'],
    retry_policy: { max_retries: 10, retry_delay: 1, timeout: 5 },
    ...more,
  });
  expect({ status, message: body.error?.message }).toEqual({ status: 201, message: undefined });
  return body.id;
}

async function delivery(): Promise<Record<string, string>> {
  const { body } = await developer('GET', '/api/v1/webhooks/deliveries');
  return body.deliveries[0];
}

const arrived = (): number[] => receiver.at(`/${user}`).map(({ body }) => JSON.parse(body.toString()).data.n);

test('an event that is too late when it is published is answered and logged as that, reported to watchers, and sent to no one', async () => {
  const webhookId = await webhook();
  const told: { data?: Record<string, unknown> }[] = [];
  const token = await service.token(user, 'developer');
  const socket = new WebSocket(`${service.http.replace('http', 'ws')}/ws`, ['homechef.v1', `bearer.${token}`]);
  socket.on('message', (text: Buffer) => told.push(JSON.parse(text.toString())));
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const deliver_before = inMs(-1000);
  const late = event(1, { deliver_before, idempotency_key: `late-${user}` });
  const published = await publisher('POST', '/api/v1/events', late);
  expect(published).toMatchObject({ status: 202, body: { deliveries: 1, duplicate: false, expired: true } });
  // The answer to the same call is the same.
  expect((await publisher('POST', '/api/v1/events', late)).body).toMatchObject({
    deliveries: 1,
    duplicate: true,
    expired: true,
  });
  const made = await delivery();
  expect(made).toMatchObject({ status: 'cancelled', cancel_reason: 'expired', attempt_count: 0, deliver_before });
  await eventually(() => told.some(({ data }) => data?.['delivery_id'] === made['id']), PATIENCE);
  expect(told.find(({ data }) => data?.['delivery_id'] === made['id'])?.data).toMatchObject({
    status: 'cancelled',
    cancel_reason: 'expired',
    deliver_before,
  });
  socket.close();
  const explained = await developer('GET', `/api/v1/webhooks/${webhookId}/explain?delivery_id=${made['id']}`);
  expect(explained.body).toMatchObject({ verdict: 'ended', summary: expect.stringContaining(deliver_before) });
  expect(arrived()).toEqual([]);
});

test('one that is in time arrives, and its answer says nothing of a deadline', async () => {
  await webhook();
  const { body } = await publisher('POST', '/api/v1/events', event(1, { deliver_before: inMs(60_000) }));
  expect(body).toEqual({ event_id: body.event_id, deliveries: 1, duplicate: false });
  await eventually(async () => (await delivery())['status'] === 'delivered', PATIENCE);
  expect(arrived()).toEqual([1]);
});

test('a delivery whose receiver fails ends at its deadline and not at its next retry, and its key goes on', async () => {
  await webhook({ ordering: 'key', retry_policy: { max_retries: 10, retry_delay: 600, timeout: 5 } });
  receiver.script(`/${user}`, 500, 200);
  const deadline = Date.now() + 3000;
  const late = event(1, { deliver_before: new Date(deadline).toISOString(), ordering_key: 'a' });
  await publisher('POST', '/api/v1/events', late);
  await eventually(() => arrived().length === 1, PATIENCE);
  await publisher('POST', '/api/v1/events', event(2, { ordering_key: 'a' }));
  await eventually(() => arrived().length === 2, PATIENCE);
  expect(Date.now()).toBeGreaterThanOrEqual(deadline);
  expect(arrived()).toEqual([1, 2]);
  const { body } = await developer('GET', '/api/v1/webhooks/deliveries?status=cancelled');
  expect(body.deliveries).toMatchObject([{ cancel_reason: 'expired', sequence: 1, attempt_count: 1 }]);
});

test('what is held for a paused webhook ends at its deadline, and its release sends the rest', async () => {
  const webhookId = await webhook();
  await developer('POST', `/api/v1/webhooks/${webhookId}/pause`, {});
  await publisher('POST', '/api/v1/events', event(1, { deliver_before: inMs(1000) }));
  await publisher('POST', '/api/v1/events', event(2));
  await eventually(async () => {
    const { body } = await developer('GET', '/api/v1/webhooks/deliveries?status=cancelled');
    return body.deliveries.length === 1;
  }, PATIENCE);
  await developer('POST', `/api/v1/webhooks/${webhookId}/resume`, {});
  await eventually(() => arrived().length === 1, PATIENCE);
  expect(arrived()).toEqual([2]);
});

test('what has expired is neither tried again by hand nor replayed', async () => {
  const webhookId = await webhook();
  await publisher('POST', '/api/v1/events', event(1, { deliver_before: inMs(-1) }));
  const { id } = await delivery();
  const retried = await developer('POST', `/api/v1/webhooks/deliveries/${id}/retry`, {});
  expect(retried).toMatchObject({ status: 409, body: { error: { reason: 'delivery_expired' } } });
  const replay = await developer('POST', `/api/v1/webhooks/${webhookId}/replays`, { statuses: ['cancelled'], dry_run: true });
  expect(replay).toMatchObject({ status: 200, body: { matched: 0 } });
  expect(await delivery()).toMatchObject({ status: 'cancelled', cancel_reason: 'expired' });
});

test('a deadline that is no time is refused with its field, and nothing is written', async () => {
  await webhook();
  const { status, body } = await publisher('POST', '/api/v1/events', event(1, { deliver_before: 'soon' }));
  expect({ status, field: body.error.details[0].field }).toEqual({ status: 400, field: 'deliver_before' });
  expect(await delivery()).toBeUndefined();
});
