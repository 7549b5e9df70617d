// Field masks: what leaves the service for a webhook with one, whatever sends it.
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { Webhook } from 'standardwebhooks';
import type { ReceivedRequest } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish, startScenario, type Scenario } from '../fixtures/scenario.ts';

vi.setConfig({ testTimeout: 60_000 });
let scenario: Scenario;
let developer: Rest;

beforeAll(async () => {
  scenario = await startScenario({
    env: { WEBHOOK_ALLOW_HTTP: 'true', WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8', WEBHOOK_RETRY_DELAY: '0.1' },
  });
  developer = await scenario.service.as('alice');
}, 60_000);
afterAll(() => scenario.close());
beforeEach(async () => {
  const { body } = await developer('GET', '/api/v1/webhooks?limit=100');
  for (const { id } of body.webhooks) await developer('DELETE', `/api/v1/webhooks/${id}`);
});

const data = { order_id: 'o1', customer: { name: 'Ada', phone: '0123456' }, 'odd, {key}"': 7, total_amount: 1.5 };
const dataOf = ({ body }: ReceivedRequest): unknown => JSON.parse(body.toString()).data;
const received = (path: string, count = 1): Promise<ReceivedRequest[]> =>
  scenario.receiver.waitFor(() => {
    const requests = scenario.receiver.at(path);
    return requests.length >= count ? requests : null;
  }, 30_000);

test('a receiver gets the fields of its webhook alone, signed as they are sent, on every attempt; others get theirs', async () => {
  const odd = String.raw`$."odd, {key}\""`;
  const till = await createWebhook(developer, scenario.receiver.url('/till'), { fields: ['$.order_id', odd] });
  expect(till.fields).toEqual(['$.order_id', odd]);
  await createWebhook(developer, scenario.receiver.url('/name'), {
    fields: ['$.customer.name'],
    filter: '$.customer.phone == "0123456"',
  });
  await createWebhook(developer, scenario.receiver.url('/whole'));
  scenario.receiver.script('/till', 500, 200);
  const eventId = await publish(scenario.publisher, ['alice'], { data });

  for (const request of await received('/till', 2)) {
    expect(dataOf(request)).toEqual({ order_id: 'o1', 'odd, {key}"': 7 });
    new Webhook(till.secret).verify(request.body.toString(), { ...request.headers });
  }
  expect((await received('/name')).map(dataOf)).toEqual([{ customer: { name: 'Ada' } }]);
  expect((await received('/whole')).map(dataOf)).toEqual([data]);

  const { body: listed } = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${till.id}&event_id=${eventId}`);
  const { body: delivery } = await developer('GET', `/api/v1/webhooks/deliveries/${listed.deliveries[0].id}`);
  expect(JSON.parse(delivery.body).data).toEqual({ order_id: 'o1', 'odd, {key}"': 7 });
});

test('a retry by hand, a replay and a test send the fields that the webhook has then', async () => {
  const webhook = await createWebhook(developer, scenario.receiver.url('/again'));
  const path = `/api/v1/webhooks/${webhook.id}`;
  const eventId = await publish(scenario.publisher, ['alice'], { data });
  expect((await received('/again')).map(dataOf)).toEqual([data]);
  expect((await developer('PATCH', path, { fields: ['$.total_amount'] })).status).toBe(200);

  const { body } = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${webhook.id}&event_id=${eventId}`);
  expect((await developer('POST', `/api/v1/webhooks/deliveries/${body.deliveries[0].id}/retry`, {})).status).toBe(202);
  const narrow = { total_amount: 1.5 };
  expect((await received('/again', 2)).map(dataOf).slice(1)).toEqual([narrow]);
  expect((await developer('POST', `${path}/replays`, { statuses: ['delivered'] })).status).toBeLessThan(300);
  expect((await received('/again', 3)).map(dataOf).slice(2)).toEqual([narrow]);
  expect((await developer('POST', `${path}/test`, {})).body.success).toBe(true);
  const sent = dataOf((await received('/again', 4))[3] as ReceivedRequest) as object;
  expect(Object.keys(sent)).toEqual(['total_amount']);
});

test('what was read can be sent back, and an empty list or null brings the whole payload back', async () => {
  const webhook = await createWebhook(developer, scenario.receiver.url('/back'));
  const path = `/api/v1/webhooks/${webhook.id}`;
  const read = (await developer('GET', path)).body;
  expect(read.fields).toEqual([]);
  expect((await developer('PUT', path, read)).status).toBe(200);
  for (const none of [[], null]) {
    expect((await developer('PATCH', path, { fields: ['$.order_id'] })).body.fields).toEqual(['$.order_id']);
    expect((await developer('PATCH', path, { description: 'kept' })).body.fields).toEqual(['$.order_id']);
    expect((await developer('PATCH', path, { fields: none })).body.fields).toEqual([]);
  }
  await publish(scenario.publisher, ['alice'], { data });
  expect((await received('/back')).map(dataOf)).toEqual([data]);
});

test('a path that is none is refused when it is written, with its place', async () => {
  const cases: [unknown[], string][] = [
    [['$.order_id', 'customer'], 'fields[1]'],
    [['$.items[0]'], 'fields[0]'],
    [['$.a', '$.a'], 'fields'],
    [[`$.${'a'.repeat(200)}`], 'fields[0]'],
    [Array.from({ length: 51 }, (_, index) => `$.a${index}`), 'fields'],
    [[7], 'fields[0]'],
  ];
  const { id } = await createWebhook(developer, scenario.receiver.url('/'));
  for (const [fields, field] of cases) {
    const refused = { status: 400, body: { error: { reason: 'field_invalid', details: [{ field }] } } };
    const url = scenario.receiver.url('/');
    expect(await developer('POST', '/api/v1/webhooks', { url, events: ['order.created'], fields })).toMatchObject(refused);
    expect(await developer('PATCH', `/api/v1/webhooks/${id}`, { fields })).toMatchObject(refused);
  }
});
