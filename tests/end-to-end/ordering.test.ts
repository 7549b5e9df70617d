// Ordering from outside: keys published, webhooks that want them in order, and what receivers, callers and explanations see of it.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
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

const event = (n: number, more: object = {}) => ({
  event_type: 'order.created',
  data: { n },
  audience: { user_ids: [user] },
  ...more,
});
const publish = async (...events: object[]): Promise<void> => {
  const { status, body } = await publisher('POST', '/api/v1/events/batch', { events });
  expect({ status, accepted: body.accepted }).toEqual({ status: 202, accepted: events.length });
};

async function webhook(more: object = {}): Promise<string> {
  const { status, body } = await developer('POST', '/api/v1/webhooks', {
    url: receiver.url(`/${user}`),
    events: ['order.created'],
    ordering: 'key',
    retry_policy: { max_retries: 3, retry_delay: 1, timeout: 5 },
    ...more,
  });
  expect({ status, message: body.error?.message }).toEqual({ status: 201, message: undefined });
  return body.id;
}

const numbersAt = (path: string, key?: string): number[] =>
  receiver
    .at(path)
    .filter(({ headers }) => key === undefined || headers['x-homechef-ordering-key'] === key)
    .map(({ body }) => JSON.parse(body.toString()).data.n);

test('events of a key arrive one after the other, numbered, however many are published at once', async () => {
  await webhook();
  const keys = ['a', 'b', 'Größe 5%'];
  const count = 60;
  await publish(...Array.from({ length: count }, (_, n) => event(n, { ordering_key: keys[n % keys.length] })));
  await eventually(() => receiver.at(`/${user}`).length === count, PATIENCE);
  for (const [index, key] of keys.entries()) {
    const header = key === 'Größe 5%' ? 'Gr%C3%B6%C3%9Fe%205%25' : key;
    expect(decodeURIComponent(header)).toBe(key);
    expect(numbersAt(`/${user}`, header)).toEqual(
      Array.from({ length: count / keys.length }, (_, n) => n * keys.length + index),
    );
  }
  const sequences = receiver
    .at(`/${user}`)
    .filter(({ headers }) => headers['x-homechef-ordering-key'] === 'a')
    .map(({ headers }) => headers['x-homechef-sequence']);
  expect(sequences).toEqual(Array.from({ length: count / keys.length }, (_, n) => String(n + 1)));
});

test('one that fails keeps its key waiting and no other, and the ones that wait are explained and listed', async () => {
  const webhookId = await webhook({ retry_policy: { max_retries: 3, retry_delay: 2, timeout: 5 } });
  receiver.script(`/${user}`, 500, 200);
  await publish(event(1, { ordering_key: 'a' }));
  await eventually(() => receiver.at(`/${user}`).length === 1, PATIENCE);
  await publish(event(2, { ordering_key: 'a' }), event(3, { ordering_key: 'b' }), event(4));
  await eventually(() => receiver.at(`/${user}`).length === 3, PATIENCE);
  const { body } = await developer('GET', '/api/v1/webhooks/deliveries?status=pending');
  expect(body.deliveries).toMatchObject([{ ordering_key: 'a', sequence: 2, status: 'pending' }]);
  const [{ id }] = body.deliveries;
  const explained = await developer('GET', `/api/v1/webhooks/${webhookId}/explain?delivery_id=${id}`);
  expect(explained.body).toMatchObject({
    verdict: 'waiting',
    summary: expect.stringMatching(/^It waits for its turn: delivery_\w+ /u),
  });
  await eventually(() => receiver.at(`/${user}`).length === 5, PATIENCE);
  expect(numbersAt(`/${user}`, 'a')).toEqual([1, 1, 2]);
});

test('with the gap "skip" the others go on after the first failure', async () => {
  await webhook({ ordering_gap: 'skip', retry_policy: { max_retries: 3, retry_delay: 3, timeout: 5 } });
  receiver.script(`/${user}`, 500, 200);
  await publish(...[1, 2, 3].map((n) => event(n, { ordering_key: 'a' })));
  await eventually(() => receiver.at(`/${user}`).length === 4, PATIENCE);
  expect(numbersAt(`/${user}`)).toEqual([1, 2, 3, 1]);
});

test('what is published one after the other on one connection, without waiting, keeps its order', async () => {
  await webhook();
  const count = 200;
  await Promise.all(
    Array.from({ length: count }, (_, n) => publisher('POST', '/api/v1/events', event(n, { ordering_key: 'a' }))),
  );
  await eventually(() => receiver.at(`/${user}`).length === count, { deadlineMs: 60_000 });
  const sequences = receiver.at(`/${user}`).map(({ headers }) => Number(headers['x-homechef-sequence']));
  expect(sequences).toEqual(Array.from({ length: count }, (_, n) => n + 1));
});

test('a paused webhook keeps the order, and goes on with it once it is resumed', async () => {
  const webhookId = await webhook();
  await developer('POST', `/api/v1/webhooks/${webhookId}/pause`, {});
  await publish(...[1, 2, 3].map((n) => event(n, { ordering_key: 'a' })));
  await developer('POST', `/api/v1/webhooks/${webhookId}/resume`, {});
  await publish(event(4, { ordering_key: 'a' }));
  await eventually(() => receiver.at(`/${user}`).length === 4, PATIENCE);
  expect(numbersAt(`/${user}`)).toEqual([1, 2, 3, 4]);
});

test('a webhook says how it is ordered, takes another way and goes back to the default', async () => {
  const { body: plain } = await developer('POST', '/api/v1/webhooks', { url: receiver.url('/x'), events: ['order.created'] });
  expect(plain).toMatchObject({ ordering: 'none', ordering_gap: 'wait' });
  const put = async (change: object) => (await developer('PUT', `/api/v1/webhooks/${plain.id}`, change)).body;
  expect(await put({ ordering: 'key', ordering_gap: 'skip' })).toMatchObject({ ordering: 'key', ordering_gap: 'skip' });
  expect(await put({ description: 'the same' })).toMatchObject({ ordering: 'key', ordering_gap: 'skip' });
  expect(await put({ ordering: null, ordering_gap: null })).toMatchObject({ ordering: 'none', ordering_gap: 'wait' });
});

test.each([
  ['empty', ''],
  ['too long', 'x'.repeat(256)],
  ['with a control character', 'a\nb'],
  ['with a control character of Latin-1', 'a\u0085b'],
])('a key that is %s is refused with its field, and nothing is written', async (_, ordering_key) => {
  await webhook();
  const { status, body } = await publisher('POST', '/api/v1/events', event(1, { ordering_key }));
  expect(status).toBe(400);
  expect(body.error.details).toMatchObject([{ field: 'ordering_key' }]);
  const { body: log } = await developer('GET', '/api/v1/webhooks/deliveries');
  expect(log.deliveries).toEqual([]);
});

test('a broadcast with a key is refused', async () => {
  const { status, body } = await publisher('POST', '/api/v1/events', {
    ...event(1, { ordering_key: 'a' }),
    audience: { broadcast: true },
  });
  expect({ status, field: body.error.details[0].field }).toEqual({ status: 400, field: 'ordering_key' });
});
