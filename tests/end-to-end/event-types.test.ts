// The catalogue of event types: what admins add can be published and subscribed to, in every process.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { restClient, type Rest } from '../fixtures/rest.ts';

const TYPES = '/api/v1/webhooks/events';

let service: TestApp;
let other: TestApp;
let receiver: Receiver;
let admin: Rest;
let developer: Rest;
let publisher: Rest;
let otherPublisher: Rest;
let number = 0;
let user = '';

beforeAll(async () => {
  [service, receiver] = await Promise.all([startApp(), startReceiver()]);
  other = await startApp({ database: service.database });
  admin = restClient(service.http, await service.token('root', 'admin'));
  publisher = restClient(service.http, await service.token('orders', 'service'));
  otherPublisher = restClient(other.http, await other.token('orders', 'service'));
});
afterAll(async () => {
  await other.close();
  await service.close();
  await receiver.close();
});
beforeEach(async () => {
  number += 1;
  user = `user${number}`;
  developer = restClient(service.http, await service.token(user));
});

/** A name that no other test has. */
const newName = (): string => `kitchen.opened_${number}`;

function publish(rest: Rest, eventType: string, more: object = {}) {
  return rest('POST', '/api/v1/events', { event_type: eventType, data: { n: 1 }, audience: { user_ids: [user] }, ...more });
}

async function webhookFor(path: string, events: readonly string[], more: object = {}): Promise<string> {
  const { status, body } = await developer('POST', '/api/v1/webhooks', { url: receiver.url(path), events, ...more });
  expect(status).toBe(201);
  return body.id;
}

describe('a type', () => {
  test('that an admin adds is in the list, can be read, subscribed to and published', async () => {
    const name = newName();
    const created = await admin('POST', TYPES, { name, description: 'A kitchen opened.', sample: { n: 1 }, deprecated: true });
    expect(created.status).toBe(201);
    expect(created.headers.get('location')).toBe(`${TYPES}/${name}`);
    expect(created.body).toMatchObject({
      name,
      description: 'A kitchen opened.',
      sample: { n: 1 },
      validation: 'off',
      default_priority: 'normal',
      deprecated: true,
      schema_version: 0,
      documented: false,
    });
    expect((await developer('GET', `${TYPES}/${name}`)).body).toEqual(created.body);
    const { body: list } = await developer('GET', TYPES);
    expect(list.events.at(-1)).toEqual(created.body);
    await webhookFor(`/${user}`, [name]);
    expect((await publish(publisher, name)).body).toMatchObject({ deliveries: 1 });
    const [request] = await receiver.waitFor(() => receiver.at(`/${user}`).length > 0 && receiver.at(`/${user}`));
    expect(request?.headers).toMatchObject({ 'x-homechef-event': name });
    expect(request?.headers).not.toHaveProperty('x-homechef-schema-version');
  });

  test('keeps what a change does not name', async () => {
    const name = newName();
    const { body: before } = await admin('POST', TYPES, {
      name,
      description: 'before',
      default_priority: 'low',
      sample: { a: 1 },
    });
    const { status, body: after } = await admin('PATCH', `${TYPES}/${name}`, { description: 'after' });
    expect(status).toBe(200);
    expect(after).toEqual({ ...before, description: 'after', updated_at: after.updated_at });
    expect(Date.parse(after.updated_at)).toBeGreaterThanOrEqual(Date.parse(before.updated_at));
    expect((await developer('GET', `${TYPES}/${name}`)).body).toEqual(after);
  });

  test('is known to the other processes soon, without Redis', async () => {
    const name = newName();
    await admin('POST', TYPES, { name });
    // Within the deadline, which is what a second is on a busy machine.
    await eventually(async () => (await publish(otherPublisher, name)).status === 202, { what: 'a publish' });
    await admin('PATCH', `${TYPES}/${name}`, { description: 'changed' });
    await eventually(async () => (await otherPublisher('GET', `${TYPES}/${name}`)).body.description === 'changed');
  });

  test('survives a restart of its process', async () => {
    const name = newName();
    await admin('POST', TYPES, { name });
    const restarted = await startApp({ database: service.database });
    const rest = restClient(restarted.http, await restarted.token('orders', 'service'));
    expect((await publish(rest, name)).status).toBe(202);
    await restarted.close();
  });

  test('is added once by two calls with one idempotency key', async () => {
    const body = { name: newName(), idempotency_key: `once-${number}` };
    const [one, two] = [await admin('POST', TYPES, body), await admin('POST', TYPES, body)];
    expect(two.status).toBe(201);
    expect(two.body).toEqual(one.body);
  });

  test('is added by one of two calls at a time', async () => {
    const name = newName();
    const answers = await Promise.all([1, 2, 3].map(() => admin('POST', TYPES, { name })));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409]);
  });

  test('is refused to all but admins, and with nothing written', async () => {
    const name = newName();
    for (const rest of [developer, publisher]) {
      expect((await rest('POST', TYPES, { name })).body.error).toMatchObject({ reason: 'role_not_allowed' });
      expect((await rest('PATCH', `${TYPES}/tip.received`, { description: 'x' })).body.error).toMatchObject({
        reason: 'role_not_allowed',
      });
    }
    expect((await developer('GET', `${TYPES}/${name}`)).status).toBe(404);
  });

  test.each([
    ['Order.Created'],
    ['order'],
    ['order.'],
    ['.created'],
    ['order..created'],
    ['order created'],
    ['order.*'],
    ['1order.created'],
    ['webhook.ping'],
    ['a.b.c.d.e.f'],
    ['order.\u0000'],
    [''],
    ['a'.repeat(101)],
  ])('named %j is refused', async (name) => {
    const { status, body } = await admin('POST', TYPES, { name });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ reason: 'field_invalid', details: [{ field: 'name' }] });
  });

  test('that is documented can neither be added again, renamed nor removed', async () => {
    expect((await admin('POST', TYPES, { name: 'order.created' })).body.error).toMatchObject({
      reason: 'event_type_exists',
      details: [{ field: 'name' }],
    });
    const renamed = await admin('PATCH', `${TYPES}/order.created`, { name: 'order.made' });
    expect(renamed.body.error).toMatchObject({ reason: 'field_unknown', details: [{ field: 'name' }] });
    expect((await admin('DELETE', `${TYPES}/order.created`)).status).toBe(405);
    const { body } = await developer('GET', `${TYPES}/order.created`);
    expect(body).toMatchObject({ name: 'order.created', documented: true, schema_version: 1, validation: 'off' });
  });
});

describe('a subscription', () => {
  test.each(['kitchen.*', '*'])('to %s gets what is added later, and what it names as well once', async (pattern) => {
    const name = newName();
    await webhookFor(`/${user}`, [pattern, 'order.created']);
    await admin('POST', TYPES, { name });
    expect((await publish(publisher, name)).body).toMatchObject({ deliveries: 1 });
    expect((await publish(publisher, 'order.created')).body).toMatchObject({ deliveries: 1 });
    const matched = pattern === '*' ? 1 : 0;
    expect((await publish(publisher, 'tip.received')).body).toMatchObject({ deliveries: matched });
  });

  test('with a pattern gets broadcasts, as a platform webhook too, and each once', async () => {
    const name = newName();
    await admin('POST', TYPES, { name });
    await webhookFor(`/${user}/both`, ['kitchen.*', name]);
    await webhookFor(`/${user}/pattern`, [`kitchen.*`]);
    await webhookFor(`/${user}/other`, ['payment.*']);
    const platform = await admin('POST', '/api/v1/webhooks', {
      url: receiver.url(`/${user}/platform`),
      events: ['kitchen.*'],
      scope: 'platform',
    });
    expect(platform.status).toBe(201);
    await publish(publisher, name, { audience: { broadcast: true } });
    const paths = () => receiver.requests.map(({ path }) => path).filter((path) => path.startsWith(`/${user}/`));
    await eventually(() => paths().length >= 3);
    expect(paths().toSorted()).toEqual([`/${user}/both`, `/${user}/pattern`, `/${user}/platform`]);
    await admin('DELETE', `/api/v1/webhooks/${platform.body.id}`);
  });

  test.each(['order.*.x', 'order*', 'Order.*', '**', '.*', 'order.**', '*.created'])('to %s is refused', async (pattern) => {
    const { body } = await developer('POST', '/api/v1/webhooks', {
      url: receiver.url('/'),
      events: ['order.created', pattern],
    });
    expect(body.error).toMatchObject({ reason: 'event_type_unknown', details: [{ field: 'events[1]' }] });
  });

  test('with a pattern is listed, explained and tested like one that names the type', async () => {
    const id = await webhookFor(`/${user}`, ['tip.*']);
    const found = await developer('GET', '/api/v1/webhooks?event_type=tip.received');
    expect(found.body.webhooks).toMatchObject([{ id, events: ['tip.*'] }]);
    expect((await developer('GET', '/api/v1/webhooks?event_type=order.created')).body.webhooks).toEqual([]);
    const sent = await publish(publisher, 'tip.received');
    const explained = await developer('GET', `/api/v1/webhooks/${id}/explain?event_id=${sent.body.event_id}`);
    expect(explained.body.rules).toContainEqual(expect.objectContaining({ code: 'event_type', result: 'passed' }));
    const asked = await publish(publisher, 'tip.received', { validate_only: true });
    expect(asked.body).toMatchObject({ would_deliver: [id], would_not: [] });
    const not = await publish(publisher, 'order.created', { validate_only: true });
    expect(not.body).toMatchObject({ would_deliver: [], would_not: [{ webhook_id: id, code: 'event_type' }] });
    const unsent = await publish(publisher, 'order.created');
    const event = await publisher('GET', `/api/v1/events/${unsent.body.event_id}`);
    expect(event.body).toMatchObject({ deliveries: 0, no_delivery_reason: 'not_subscribed' });
    expect((await developer('POST', `/api/v1/webhooks/${id}/test`, {})).body).toMatchObject({ success: true });
    expect(receiver.at(`/${user}`).at(-1)?.headers).toMatchObject({ 'x-homechef-event': 'tip.received' });
  });

  test('with an underscore in its pattern takes the underscore as it is', async () => {
    await webhookFor(`/${user}`, [`kit_hen.*`]);
    const name = newName();
    await admin('POST', TYPES, { name });
    expect((await publish(publisher, name)).body).toMatchObject({ deliveries: 0 });
  });
});

describe('the version of the schema', () => {
  test('is in the request of a type that has one, at the first attempt and at the next, as it was when the event was published', async () => {
    const name = newName();
    await admin('POST', TYPES, { name, schema: { type: 'object' } });
    receiver.script(`/${user}`, 500, 200);
    await webhookFor(`/${user}`, [name], { retry_policy: { max_retries: 3, retry_delay: 1 } });
    await publish(publisher, name);
    const { body } = await admin('PATCH', `${TYPES}/${name}`, {
      schema: { type: 'object', properties: { tip: { type: 'number' } } },
    });
    expect(body).toMatchObject({ schema_version: 2 });
    await receiver.waitFor(() => receiver.at(`/${user}`).length === 2);
    const versions = () => receiver.at(`/${user}`).map(({ headers }) => headers['x-homechef-schema-version']);
    expect(versions()).toEqual(['1', '1']);
    await publish(publisher, name);
    await receiver.waitFor(() => receiver.at(`/${user}`).length === 3);
    expect(versions()).toEqual(['1', '1', '2']);
  });

  test('stays when a change does not touch the schema', async () => {
    const name = newName();
    const schema = { type: 'object', properties: { n: { type: 'number' } } };
    await admin('POST', TYPES, { name, schema });
    expect((await admin('PATCH', `${TYPES}/${name}`, { schema, description: 'x' })).body).toMatchObject({ schema_version: 1 });
  });
});

describe('a schema', () => {
  const schema = {
    type: 'object',
    properties: { n: { type: 'integer' }, items: { type: 'array', items: { type: 'object', required: ['name'] } } },
    required: ['n'],
  };
  const wrong = { data: { n: 1, items: [{ name: 'x' }, {}] } };
  const mismatch = { reason: 'payload_schema_mismatch', details: [{ field: 'data.items[1].name' }] };

  test('that is strict refuses a payload, with the place, and writes nothing', async () => {
    const name = newName();
    await admin('POST', TYPES, { name, schema, validation: 'strict' });
    const { status, body } = await publish(publisher, name, wrong);
    expect(status).toBe(400);
    expect(body.error).toMatchObject(mismatch);
    const json = Buffer.from(JSON.stringify(wrong.data)).toString('base64');
    expect((await publish(publisher, name, { data: undefined, data_json: json })).body.error).toMatchObject(mismatch);
    expect((await publish(publisher, name, { ...wrong, validate_only: true })).body.error).toMatchObject(mismatch);
    expect((await publisher('GET', `/api/v1/events?event_type=${name}`)).body.events).toEqual([]);
    expect((await publish(publisher, name)).status).toBe(202);
  });

  test('that is strict refuses one item of a batch alone', async () => {
    const name = newName();
    await admin('POST', TYPES, { name, schema, validation: 'strict' });
    const event = { event_type: name, data: { n: 1 }, audience: { user_ids: [user] } };
    const { status, body } = await publisher('POST', '/api/v1/events/batch', {
      events: [event, { ...event, ...wrong }, event],
    });
    expect(status).toBe(202);
    expect(body).toMatchObject({ accepted: 2, rejected: 1 });
    expect(body.results[1].error).toMatchObject({ reason: 'payload_schema_mismatch', field: 'data.items[1].name' });
  });

  test('that is strict is strict in every process within a second, and in none once it is off', async () => {
    const name = newName();
    await admin('POST', TYPES, { name, schema });
    await eventually(async () => (await publish(otherPublisher, name, wrong)).status === 202);
    await admin('PATCH', `${TYPES}/${name}`, { validation: 'strict' });
    await eventually(async () => (await publish(otherPublisher, name, wrong)).status === 400);
    await admin('PATCH', `${TYPES}/${name}`, { validation: 'off' });
    await eventually(async () => (await publish(otherPublisher, name, wrong)).status === 202);
  });

  test('that warns accepts the payload, and counts it', async () => {
    const name = newName();
    await admin('POST', TYPES, { name, schema, validation: 'warn' });
    await webhookFor(`/${user}`, [name]);
    expect((await publish(publisher, name, wrong)).body).toMatchObject({ deliveries: 1 });
    await receiver.waitFor(() => receiver.at(`/${user}`).length === 1);
    const metrics = await (await fetch(`${service.app.addresses.metrics}/metrics`)).text();
    expect(metrics).toMatch(/payload_mismatches_total\{validation="warn"\} [1-9]/);
  });

  test('takes an optional property, and a removed or narrowed one by force alone', async () => {
    const name = newName();
    await admin('POST', TYPES, { name, schema });
    const more = { ...schema, properties: { ...schema.properties, tip: { type: 'number' } } };
    expect((await admin('PATCH', `${TYPES}/${name}`, { schema: more })).body).toMatchObject({ schema_version: 2 });
    const { status, body } = await admin('PATCH', `${TYPES}/${name}`, { schema, description: 'not written' });
    expect(status).toBe(409);
    expect(body.error).toMatchObject({ reason: 'schema_incompatible', details: [{ field: 'schema.properties.tip' }] });
    expect((await admin('GET', `${TYPES}/${name}`)).body).toMatchObject({ schema_version: 2, schema: more, description: '' });
    expect((await admin('PATCH', `${TYPES}/${name}`, { schema, force: true })).body).toMatchObject({ schema_version: 3 });
  });

  test('that is none, or that its sample is not, is refused before anything is written', async () => {
    const name = newName();
    const refused = async (body: object, field: string): Promise<void> => {
      const answer = await admin('POST', TYPES, { name, ...body });
      expect(answer.status).toBe(400);
      expect(answer.body.error).toMatchObject({ reason: 'field_invalid', details: [{ field }] });
    };
    await refused({ schema: { type: 'text' } }, 'schema.type');
    await refused({ schema: { $ref: 'https://example.com/x' } }, 'schema.$ref');
    await refused({ schema: { description: 'x'.repeat(70_000) } }, 'schema');
    await refused({ schema, sample: { n: 'one' } }, 'sample.n');
    expect((await admin('GET', `${TYPES}/${name}`)).status).toBe(404);
  });
});

test('a catalogue that is full takes no other type', async () => {
  const { pool } = service.database;
  await pool.query(`insert into event_types (name, description) select 'filler.n' || n, '' from generate_series(1, 500) n`);
  const { status, body } = await admin('POST', TYPES, { name: newName() });
  expect(status).toBe(429);
  expect(body.error).toMatchObject({ reason: 'event_type_limit_reached' });
  await pool.query(`delete from event_types where name like 'filler.%'`);
});
