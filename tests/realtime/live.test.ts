// The live feed of one process, end to end: streams and WebSockets see what happens, as it happens, and nothing of others'.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DeliveryStatus } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { restClient, type Rest } from '../fixtures/rest.ts';
import { createWebhook, publish as publishEvent } from '../fixtures/scenario.ts';
import { bearer, openSocket, told, watchStream } from './watching.ts';

let service: TestApp;
let receiver: Receiver;
let publisher: Rest;
let token: string;
let adminToken: string;

beforeAll(async () => {
  [service, receiver] = await Promise.all([startApp({ env: { MAX_WATCHERS_PER_USER: '1000' } }), startReceiver()]);
  publisher = await service.as('orders', 'service');
  token = await service.token('user123');
  adminToken = await service.token('root', 'admin');
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

const webhookOf = async (user: string, path: string, policy: object = { max_retries: 1, retry_delay: 1 }): Promise<any> =>
  createWebhook(await service.as(user), receiver.url(path), { retry_policy: policy });

const publish = (...users: string[]): Promise<string> => publishEvent(publisher, users);

test('a stream and a WebSocket see each change of status, in order, with one cursor a change', async () => {
  receiver.script('/mends', 500, 200);
  const webhook = await webhookOf('user123', '/mends');
  const stream = watchStream(service.grpc, token, { webhookIds: [webhook.id] });
  const socket = openSocket(service.http, `?user_id=user123&user_type=developer&webhook_id=${webhook.id}`, bearer(token));
  await eventually(() => stream.messages.length > 0 && socket.messages.length > 0);
  await publish('user123');
  await eventually(() => told(stream).length === 2 && socket.messages.length >= 3, { what: 'two changes' });
  const id = told(stream)[0]?.split(':')[0];
  expect(told(stream)).toEqual([`${id}:retrying`, `${id}:delivered`]);
  const updates = socket.messages.filter((message) => message.data !== undefined);
  expect(updates).toMatchObject([
    {
      type: 'webhook_retry',
      data: {
        delivery_id: id,
        webhook_id: webhook.id,
        event_type: 'order.created',
        status: 'retrying',
        http_status: 500,
        attempt_count: 1,
      },
    },
    {
      type: 'webhook_delivery',
      data: { delivery_id: id, status: 'delivered', http_status: 200, attempt_count: 2, next_retry_at: null },
    },
  ]);
  expect(Date.parse(updates[0].data.next_retry_at)).toBeGreaterThan(Date.parse(updates[0].data.created_at));
  const cursors = stream.messages.filter(({ message }) => message.case === 'delivery').map(({ cursor }) => cursor);
  expect(updates.map(({ cursor }) => cursor)).toEqual(cursors);
  expect(cursors.toSorted()).toEqual(cursors);
  stream.cancel();
  socket.socket.close();
  await stream.ended;
});

test('developers see what is their own; admins see everything, or one user', async () => {
  await webhookOf('alice', '/ok');
  await webhookOf('bob', '/ok');
  const aliceToken = await service.token('alice');
  const alice = watchStream(service.http, aliceToken);
  const trespasser = watchStream(service.http, aliceToken, { userId: 'bob' });
  const everything = watchStream(service.grpc, adminToken);
  const onlyBob = openSocket(service.http, '?user_id=bob', bearer(adminToken));
  expect(String(await trespasser.ended)).toMatch(/permission_denied/);
  await eventually(() => [alice, everything, onlyBob].every(({ messages }) => messages.length > 0));
  await publish('alice', 'bob');
  await eventually(() => told(everything).length === 2 && told(alice).length === 1 && onlyBob.messages.length > 1);
  await publish('alice');
  await eventually(() => told(everything).length === 3 && told(alice).length === 2);
  expect(told(trespasser)).toEqual([]);
  const owners = onlyBob.messages.flatMap((message) => (message.data === undefined ? [] : [message.data.user_id]));
  expect(owners).toEqual(['bob']);
  for (const stream of [alice, everything]) stream.cancel();
  onlyBob.socket.close();
});

test('filters choose by webhook, type, status and event, alone and changed by a message', async () => {
  receiver.script('/gone-twice', 500);
  const failing = await webhookOf('carol', '/gone-twice', { max_retries: 0 });
  const working = await webhookOf('carol', '/ok');
  const carol = await service.token('carol');
  const failed = watchStream(service.grpc, carol, { statuses: [DeliveryStatus.FAILED] });
  const ofWebhook = watchStream(service.grpc, carol, { webhookIds: [working.id] });
  const otherType = watchStream(service.grpc, carol, { eventTypes: ['tip.received'] });
  const socket = openSocket(service.http, '?status=failed', bearer(carol));
  await eventually(() => [failed, ofWebhook, otherType, socket].every(({ messages }) => messages.length > 0));
  await publish('carol');
  await eventually(() => told(failed).length === 1 && told(ofWebhook).length === 1 && socket.messages.length === 2);
  expect(socket.messages[1]).toMatchObject({ type: 'webhook_failed', data: { webhook_id: failing.id, http_status: 500 } });
  expect(told(ofWebhook)[0]).toMatch(/:delivered$/);

  socket.send({ type: 'subscribe', webhook_ids: [working.id], after: socket.messages[0].cursor });
  await eventually(() => socket.messages.some(({ type }) => type === 'webhook_delivery'));
  const after = socket.messages.slice(2).filter(({ type }) => type !== 'heartbeat');
  expect(after).toMatchObject([{ type: 'subscribed' }, { type: 'webhook_delivery', data: { webhook_id: working.id } }]);
  socket.send({ type: 'subscribe', colour: 'red' });
  await eventually(() => socket.messages.some(({ type }) => type === 'error'));
  expect(socket.messages.at(-1)).toMatchObject({ error: { reason: 'field_unknown', details: [{ field: 'colour' }] } });
  socket.send({ type: 'ping' });
  await eventually(() => socket.messages.at(-1).type === 'pong');
  expect(told(otherType)).toEqual([]);
  for (const stream of [failed, ofWebhook, otherType]) stream.cancel();
  socket.socket.close();
});

test('a thousand watchers opened and cancelled leave nothing behind', async () => {
  const admin = restClient(service.http, adminToken);
  const status = async () => (await admin('GET', '/ws/status')).body;
  await eventually(async () => (await status()).watchers === 0, { what: 'no watchers before' });
  const before = process.getActiveResourcesInfo().length;
  for (let round = 0; round < 4; round += 1) {
    const streams = Array.from({ length: 125 }, (_, n) => watchStream(n % 2 === 0 ? service.grpc : service.http, token));
    const sockets = Array.from({ length: 125 }, () => openSocket(service.http, '', bearer(token)));
    await eventually(async () => (await status()).watchers === 250, { what: 'all to be open' });
    expect(await status()).toMatchObject({ connections: 125, watchers: 250 });
    for (const stream of streams) stream.cancel();
    for (const { socket } of sockets)
      if (round % 2 === 0) socket.close();
      else socket.terminate();
    await Promise.all(sockets.map(({ closed }) => closed));
    await eventually(async () => (await status()).watchers === 0, { what: 'all to be gone' });
  }
  expect(await status()).toMatchObject({ connections: 0, watchers: 0, buffered: 0, buffered_bytes: 0, dropped: 0, lag_ms: 0 });
  await eventually(() => process.getActiveResourcesInfo().length <= before + 10, {
    what: 'as few handles as before',
    deadlineMs: 20_000,
  });
});

test('the owner gets an update at once when a webhook is disabled', async () => {
  receiver.script('/gone', 410);
  const webhook = await webhookOf('dora', '/gone');
  const owner = openSocket(service.http, '', bearer(await service.token('dora')));
  const stranger = openSocket(service.http, '', bearer(await service.token('eve')));
  await eventually(() => owner.messages.length > 0 && stranger.messages.length > 0);
  await publish('dora');
  const notice = await eventually(() => owner.messages.find(({ type }) => type === 'webhook_disabled'));
  expect(notice.data).toMatchObject({ webhook_id: webhook.id, reason: 'gone' });
  expect(Date.parse(notice.data.disabled_at)).toBeGreaterThan(Date.now() - 10_000);
  expect(stranger.messages.filter(({ type }) => type !== 'heartbeat')).toEqual([]);
  owner.socket.close();
  stranger.socket.close();
});
