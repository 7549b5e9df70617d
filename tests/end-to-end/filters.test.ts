// Filters from outside: written with a webhook, obeyed by what is published, explained, and respected by replays.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { startScenario, type Scenario } from '../fixtures/scenario.ts';

const PATIENCE = { deadlineMs: 20_000 };

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

const event = (data: object, more: object = {}) => ({
  event_type: 'order.created',
  data,
  audience: { user_ids: [user] },
  ...more,
});
const publish = async (data: object): Promise<string> => {
  const { status, body } = await publisher('POST', '/api/v1/events', event(data));
  expect(status).toBe(202);
  return body.event_id;
};

async function webhook(filter?: string): Promise<string> {
  const { status, body } = await developer('POST', '/api/v1/webhooks', {
    url: receiver.url(`/${user}`),
    events: ['order.created'],
    ...(filter === undefined ? {} : { filter }),
  });
  expect({ status, filter: body.filter }).toEqual({ status: 201, filter: filter ?? '' });
  return body.id;
}

describe('a webhook with a filter', () => {
  test('gets the events whose payload passes it, and no others', async () => {
    await webhook('$.total_amount > 50 && $.city == "Berlin"');
    await publish({ n: 1, total_amount: 51, city: 'Paris' });
    await publish({ n: 2, total_amount: 50, city: 'Berlin' });
    await publish({ n: 3, total_amount: 50.01, city: 'Berlin' });
    const [request] = await receiver.waitFor(() => receiver.at(`/${user}`).length > 0 && receiver.at(`/${user}`));
    expect(JSON.parse(request?.body.toString() ?? '').data.n).toBe(3);
    const { body } = await developer('GET', '/api/v1/webhooks/deliveries');
    expect(body.deliveries).toHaveLength(1);
  });

  test('takes another, keeps it when it is not named, and loses it by "" and by null; its history says so', async () => {
    const id = await webhook('$.n == 1');
    const put = async (change: object) => (await developer('PUT', `/api/v1/webhooks/${id}`, change)).body.filter;
    expect(await put({ filter: '$.n == 2' })).toBe('$.n == 2');
    expect(await put({ description: 'the same' })).toBe('$.n == 2');
    expect(await put({ filter: '' })).toBe('');
    await put({ filter: '$.n == 3' });
    expect(await put({ filter: null })).toBe('');
    const { body: read } = await developer('GET', `/api/v1/webhooks/${id}`);
    expect(read.filter).toBe('');
    expect((await developer('PUT', `/api/v1/webhooks/${id}`, read)).status).toBe(200);
    const { body } = await developer('GET', `/api/v1/webhooks/${id}/history`);
    expect(JSON.stringify(body)).toContain('$.n == 3');
  });

  test.each([
    ['$.total > ', /^at character 11: /],
    ['$.a like_regex "^(a+)+$"', /^at character 5: like_regex/],
    ['$.**.a == 1', /^at character 3: \.\*\*/],
    [`$.a == "${'x'.repeat(1000)}"`, /^at character 1001: /],
    ['$.a[*] == $.b[*]', /^at character 8: /],
  ])('is refused with %s, and nothing is written', async (filter, message) => {
    const id = await webhook('$.n == 1');
    const refused = {
      status: 400,
      body: { error: { reason: 'filter_invalid', details: [{ field: 'filter', message: expect.stringMatching(message) }] } },
    };
    const made = { url: receiver.url('/'), events: ['order.*'], filter };
    expect(await developer('POST', '/api/v1/webhooks', made)).toMatchObject(refused);
    expect(await developer('PUT', `/api/v1/webhooks/${id}`, { description: 'changed', filter })).toMatchObject(refused);
    const { body } = await developer('GET', '/api/v1/webhooks');
    expect(body.webhooks).toMatchObject([{ id, filter: '$.n == 1', description: '' }]);
  });

  test('is said to be what stopped an event: by its explanation, and by validate_only beforehand', async () => {
    const id = await webhook('$.n == 1');
    const explained = async (eventId: string) =>
      (await developer('GET', `/api/v1/webhooks/${id}/explain?event_id=${eventId}`)).body;
    const other = await explained(await publish({ n: 2 }));
    expect(other).toMatchObject({
      verdict: 'not_owed',
      summary: 'The payload does not pass the filter of the webhook: $.n == 1.',
    });
    expect(other.rules.find(({ result }: { result: string }) => result === 'stopped_here').code).toBe('filter');
    expect((await explained(await publish({ n: 1, text: '\u0000' }))).summary).toMatch(/cannot read as jsonb/);
    expect((await explained(await publish({ n: 1 }))).rules[4]).toMatchObject({ code: 'filter', result: 'passed' });
    const validate = async (data: object) =>
      (await publisher('POST', '/api/v1/events', event(data, { validate_only: true }))).body;
    expect(await validate({ n: 1 })).toMatchObject({ would_deliver: [id], would_not: [] });
    expect(await validate({ n: 2 })).toMatchObject({ would_deliver: [], would_not: [{ webhook_id: id, code: 'filter' }] });
  });

  test('gets by a replay with include_missing what passes its filter now, and nothing else', async () => {
    await publish({ n: 1 });
    await publish({ n: 2 });
    const id = await webhook('$.n == 2');
    const replays = `/api/v1/webhooks/${id}/replays`;
    const dry = await developer('POST', replays, { include_missing: true, dry_run: true });
    expect(dry.body).toMatchObject({ matched: 1 });
    const { body } = await developer('POST', replays, { include_missing: true, rate: 100 });
    const ended = await eventually(async () => {
      const replay = (await developer('GET', `${replays}/${body.id}`)).body;
      return replay.state === 'completed' && replay;
    }, PATIENCE);
    expect(ended).toMatchObject({ released: 1 });
    await receiver.waitFor(() => receiver.at(`/${user}`).length > 0);
    expect(receiver.at(`/${user}`).map(({ body: sent }) => JSON.parse(sent.toString()).data.n)).toEqual([2]);
  });
});

test('an event whose payload jsonb cannot hold is published all the same, to webhooks without a filter', async () => {
  const filtered = await webhook('!exists($.nothing)');
  const plain = await webhook();
  const eventId = await publish({ text: 'a\u0000b' });
  const { body } = await developer('GET', '/api/v1/webhooks/deliveries');
  expect(body.deliveries).toMatchObject([{ event_id: eventId, webhook_id: plain }]);
  expect(body.deliveries).not.toMatchObject([{ webhook_id: filtered }]);
});

describe('filter/test', () => {
  const tested = async (id: string, question: object, rest = developer) =>
    rest('POST', `/api/v1/webhooks/${id}/filter/test`, question);
  const answers = async (id: string, question: object) => (await tested(id, question)).body;
  const OK = { error: '', position: 0 };

  test('says whether a payload passes: the filter that is given, or the one that the webhook has', async () => {
    const id = await webhook('$.n == 1');
    expect(await answers(id, { data: { n: 1 } })).toEqual({ match: true, ...OK });
    expect(await answers(id, { data: { n: 2 } })).toEqual({ match: false, ...OK });
    expect(await answers(id, { filter: '$.n == 2', data: { n: 2 } })).toEqual({ match: true, ...OK });
    expect(await answers(id, { filter: '', data: { n: 2 } })).toEqual({ match: true, ...OK });
    const json = Buffer.from('{"n":1}').toString('base64');
    expect(await answers(id, { data_json: json })).toEqual({ match: true, ...OK });
    expect((await developer('GET', `/api/v1/webhooks/${id}`)).body.filter).toBe('$.n == 1');
  });

  test('says where a filter is at fault, and why one is neither true nor false', async () => {
    const id = await webhook();
    const faulty = await answers(id, { filter: '$.n >', data: { n: 1 } });
    expect(faulty).toEqual({ match: false, error: expect.stringMatching(/^at character 6: the filter ends/), position: 6 });
    const mixed = await answers(id, { filter: '$.n > 5', data: { n: 'many' } });
    expect(mixed).toMatchObject({ match: false, error: expect.stringMatching(/^the filter is neither true nor false/) });
    const odd = await answers(id, { filter: '!exists($.n)', data: { text: '\u0000' } });
    expect(odd).toMatchObject({ match: false, error: expect.stringMatching(/cannot read as jsonb/), position: 0 });
  });

  test('takes the payload of a past event that concerns the owner of the webhook; of others there is none', async () => {
    const id = await webhook();
    const filter = '$.n == 1';
    const own = await publish({ n: 1 });
    expect(await answers(id, { filter, event_id: own })).toEqual({ match: true, ...OK });
    const foreign = await publisher('POST', '/api/v1/events', event({ n: 1 }, { audience: { user_ids: ['somebody'] } }));
    const never = own.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    const refusals = await Promise.all(
      [foreign.body.event_id, never, 'event_1'].map((id_) => tested(id, { filter, event_id: id_ })),
    );
    for (const { status, body } of refusals) expect([status, body.error.message]).toEqual([404, 'There is no such event.']);
    // A service that did not publish it and knows a webhook of another user.
    const other = await service.as('payments', 'service');
    expect((await tested(id, { filter, event_id: foreign.body.event_id }, other)).status).toBe(404);
    expect((await tested(id, { filter, event_id: foreign.body.event_id }, publisher)).body.match).toBe(true);
  });

  test.each([
    [{}, 'field_invalid', 'data'],
    [{ data: { n: 1 }, event_id: 'event_1' }, 'field_invalid', 'event_id'],
    [{ data_json: Buffer.from('[1]').toString('base64') }, 'payload_not_object', 'data_json'],
  ])('refuses %j for its payload', async (question, reason, field) => {
    const { status, body } = await tested(await webhook(), question);
    expect({ status, ...body.error }).toMatchObject({ status: 400, reason, details: [{ field }] });
  });
});
