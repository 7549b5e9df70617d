// WatchEvents over every protocol that has streams: what a webhook of the caller would get, with no webhook there.
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  DeliveryService,
  type WatchedEvent,
  type WatchEventsRequestSchema,
  type WatchEventsResponse,
} from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { CallerRole } from '../../src/security/tokens.ts';
import { eventually } from '../fixtures/eventually.ts';
import { createWebhook, publish, startScenario, type Scenario } from '../fixtures/scenario.ts';

let scenario: Scenario;
const leaving: AbortController[] = [];

beforeAll(async () => {
  scenario = await startScenario();
});
afterAll(async () => {
  for (const each of leaving) each.abort();
  await scenario.close();
});

const overConnect = (): Transport => createConnectTransport({ baseUrl: scenario.service.http, httpVersion: '1.1' });
const transports: readonly (readonly [protocol: string, to: () => Transport])[] = [
  ['gRPC', () => createGrpcTransport({ baseUrl: `http://${scenario.service.grpc}` })],
  ['gRPC-Web', () => createGrpcWebTransport({ baseUrl: scenario.service.http, httpVersion: '1.1' })],
  ['Connect', overConnect],
];

interface Watching {
  readonly messages: WatchEventsResponse[];
  readonly events: () => WatchedEvent[];
  readonly ended: Promise<unknown>;
}

async function watch(
  user: string,
  request: MessageInitShape<typeof WatchEventsRequestSchema> = {},
  options: { readonly to?: () => Transport; readonly role?: CallerRole } = {},
): Promise<Watching> {
  const { to = overConnect, role = 'developer' } = options;
  const client = createClient(DeliveryService, to());
  const controller = new AbortController();
  leaving.push(controller);
  const headers = { authorization: `Bearer ${await scenario.service.token(user, role)}` };
  const messages: WatchEventsResponse[] = [];
  const read = async (): Promise<unknown> => {
    try {
      for await (const message of client.watchEvents(request, { signal: controller.signal, headers })) messages.push(message);
      return undefined;
    } catch (error) {
      return error;
    }
  };
  const ended = read();
  await Promise.race([ended, eventually(() => messages.length > 0, { what: 'the first message' })]);
  return {
    messages,
    ended,
    events: () => messages.flatMap(({ message }) => (message.case === 'event' ? [message.value] : [])),
  };
}

test.each(transports)('%s: a user without a webhook gets the body that a webhook would get', async (protocol, to) => {
  const user = `without-${protocol}`;
  const watching = await watch(user, {}, { to });
  const eventId = await publish(scenario.publisher, [user], { data: { note: 'größer als <€>' } });
  await eventually(() => watching.events().length === 1, { what: 'the event' });
  const [event] = watching.events();
  expect(event).toMatchObject({ eventId, eventType: 'order.created', schemaVersion: 1 });
  expect(event?.webhookId).toMatch(/^webhook_[0-9a-z]{26}$/);
  const body = JSON.parse(event?.body ?? '');
  expect(body).toEqual({
    event: 'order.created',
    data: { note: 'größer als <€>' },
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    webhook_id: event?.webhookId,
    delivery_id: event?.deliveryId,
  });
  expect(JSON.stringify(body)).toBe(event?.body);
  const listed = await (await scenario.service.as(user))('GET', '/api/v1/webhooks');
  expect(listed.body.webhooks).toEqual([]);
});

test('the id of a delivery is the one that the service would have given it', async () => {
  const user = 'with-a-webhook';
  const webhook = await createWebhook(await scenario.service.as(user), scenario.receiver.url('/with'));
  const watching = await watch(user);
  const cursor = watching.messages[0]?.cursor.replace(/-.*/, webhook.id.replace('webhook_', '-')) ?? '';
  const asThatWebhook = await watch(user, { after: cursor });
  await publish(scenario.publisher, [user]);
  await eventually(() => asThatWebhook.events().length === 1, { what: 'the event' });
  await scenario.receiver.waitFor(() => scenario.receiver.at('/with').length === 1);
  const sent = scenario.receiver.at('/with')[0];
  expect(asThatWebhook.events()[0]?.deliveryId).toBe(sent?.headers['x-homechef-delivery']);
  expect(asThatWebhook.events()[0]?.body).toBe(sent?.body.toString());
});

test('the sample of a test comes to watchers of its user as well, though it is stored after it was sent', async () => {
  const user = 'tester';
  const developer = await scenario.service.as(user);
  const webhook = await createWebhook(developer, scenario.receiver.url('/tested'));
  const watching = await watch(user);
  expect((await developer('POST', `/api/v1/webhooks/${webhook.id}/test`)).status).toBe(200);
  const eventId = await publish(scenario.publisher, [user]);
  await eventually(() => watching.events().length > 0, { what: 'the event' });
  await eventually(() => watching.events().length > 1, { what: 'the event and the sample' });
  const [sample] = scenario.receiver.at('/tested');
  expect(watching.events()).toMatchObject([{ eventType: 'order.created' }, { eventId }]);
  expect(JSON.parse(watching.events()[0]?.body ?? '').data).toEqual(JSON.parse(sample?.body.toString() ?? '').data);
});

test('only payloads that pass the filter come, and none is lost behind one that does not', async () => {
  const watching = await watch('chooser', { filter: '$.total > 50' });
  const published: string[] = [];
  for (const total of [10, 60, 20, 70]) published.push(await publish(scenario.publisher, ['chooser'], { data: { total } }));
  await eventually(() => watching.events().length > 1, { what: 'the events' });
  expect(watching.events().map((event) => event.eventId)).toEqual([published[1], published[3]]);
});

test('developers watch their own events, services those of the user they name', async () => {
  expect(String(await (await watch('mallory', { userId: 'alice' })).ended)).toMatch(/permission_denied.*user_id/);
  const service = await watch('orders', { userId: 'alice' }, { role: 'service' });
  const itself = await watch('orders', {}, { role: 'service' });
  const eventId = await publish(scenario.publisher, ['alice']);
  const own = await publish(scenario.publisher, ['orders']);
  await eventually(() => service.events().length === 1 && itself.events().length === 1, { what: 'an event each' });
  expect(service.events()[0]?.eventId).toBe(eventId);
  expect(itself.events()[0]?.eventId).toBe(own);
});

test('a type that the catalogue does not have is refused', async () => {
  const refused = await watch('alice', { eventTypes: ['order.created', 'order.creatde'] });
  expect(String(await refused.ended)).toMatch(/invalid_argument.*event_types\[1\]/);
});
