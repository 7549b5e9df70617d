// Watching, live and through every protocol: no caller gets what is another user's, whatever they ask for.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createGrpcWebTransport } from '@connectrpc/connect-node';
import { createClient } from '@connectrpc/connect';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { eventually } from '../fixtures/eventually.ts';
import { bearer, openSocket, watchStream, type Socket } from '../realtime/watching.ts';
import type { Things } from './cases.ts';
import { openWorld, type World } from './world.ts';

const PATIENCE = { deadlineMs: 60_000 };

let world: World;
let hers: Things;
let mallory: string;
let alice: string;
beforeAll(async () => {
  world = await openWorld({ MAX_WATCHERS_PER_USER: '100' });
  [alice, mallory] = await Promise.all([world.service.token('alice'), world.service.token('mallory')]);
  hers = await world.make('alice');
}, 120_000);
afterAll(() => world.close());

interface Watching {
  readonly what: string;
  readonly heard: () => string;
  readonly stop: () => void;
}

/** Every way to ask for a user's deliveries, through every protocol that sends them. */
function everyWay(token: string, of: Things): Watching[] {
  const { http, grpc } = world.service;
  const requests = [
    {},
    { webhookIds: [of.webhookId] },
    { eventId: of.eventId },
    // A caller who names another user is refused; see below.
    ...(token === alice ? [{ userId: of.userId }] : []),
    { after: of.cursor, webhookIds: [of.webhookId] },
  ];
  const ways: Watching[] = [];
  for (const request of requests) {
    const asked = JSON.stringify(request);
    for (const [protocol, address] of [
      ['Connect', http],
      ['gRPC', grpc],
    ] as const) {
      const stream = watchStream(address, token, request);
      ways.push({ what: `${protocol} ${asked}`, heard: () => text(stream.messages), stop: () => stream.cancel() });
    }
    ways.push(grpcWeb(token, request, asked));
    const query = new URLSearchParams(socketQuery(request));
    ways.push(webSocket(`?${query.toString()}`, openSocket(http, `?${query.toString()}`, bearer(token))));
  }
  // What a connected client asks for later is no different.
  const late = openSocket(http, '', bearer(token));
  late.socket.on('open', () => late.send({ type: 'subscribe', webhook_ids: [of.webhookId], after: of.cursor }));
  ways.push(webSocket('subscribe', late));
  return ways;
}

function grpcWeb(token: string, request: object, asked: string): Watching {
  const client = createClient(DeliveryService, createGrpcWebTransport({ baseUrl: world.service.http, httpVersion: '1.1' }));
  const leaving = new AbortController();
  const messages: unknown[] = [];
  const read = async (): Promise<void> => {
    const options = { signal: leaving.signal, headers: { authorization: `Bearer ${token}` } };
    for await (const message of client.watchDeliveries(request, options)) messages.push(message);
  };
  // It ends when this test leaves.
  read().catch(() => {});
  return { what: `gRPC-Web ${asked}`, heard: () => text(messages), stop: () => leaving.abort() };
}

function webSocket(query: string, socket: Socket): Watching {
  return { what: `WebSocket ${query}`, heard: () => text(socket.messages), stop: () => socket.socket.terminate() };
}

test('whatever she asks for, a stranger gets no update that is not hers', async () => {
  const strangers = everyWay(mallory, hers);
  const owners = everyWay(alice, hers);
  await eventually(() => [...strangers, ...owners].every(({ heard }) => heard() !== '[]'), {
    what: 'a first message for everyone',
    ...PATIENCE,
  });
  const more = await world.make('alice');
  const own = await world.make('mallory');
  // The owner, asking the same, gets them; and the stranger what is her own, so both were listening.
  for (const { heard } of owners.filter(({ what }) => /\{\}|\?$/.test(what))) {
    await eventually(() => heard().includes(more.deliveryId), { what: 'the owner’s news', ...PATIENCE });
  }
  for (const { heard } of owners.filter(({ what }) => what.includes('after'))) {
    await eventually(() => heard().includes(hers.deliveryId), { what: 'the owner’s past', ...PATIENCE });
  }
  for (const { heard } of strangers.filter(({ what }) => /\{\}|\?$/.test(what))) {
    await eventually(() => heard().includes(own.deliveryId), { what: 'the stranger’s own news', ...PATIENCE });
  }
  for (const { what, heard, stop } of strangers) {
    for (const id of [hers.webhookId, hers.deliveryId, more.webhookId, more.deliveryId]) {
      expect(heard().includes(id) ? what : '').toBe('');
    }
    stop();
  }
  for (const { stop } of owners) stop();
  console.log(`${strangers.length} ways to watch as a stranger: 0 foreign messages`);
}, 180_000);

test('a caller who asks for another user is refused, as for a user there is not', async () => {
  for (const userId of ['alice', 'nobody-there']) {
    const { http, grpc } = world.service;
    const streams = [http, grpc].map((address) => watchStream(address, mallory, { userId }));
    for (const { ended } of streams) expect(String(await ended)).toMatch(/permission_denied/);
  }
  const closes = await Promise.all(
    ['alice', 'nobody-there'].map((user) => openSocket(world.service.http, `?user_id=${user}`, bearer(mallory)).closed),
  );
  for (const close of closes) expect(close).toMatchObject({ code: 1008, reason: 'role_not_allowed' });
  expect(await openSocket(world.service.http, '').refused).toBe(401);
  const wrongRole = await world.service.token('mallory', 'visitor' as 'developer');
  expect(await openSocket(world.service.http, '', bearer(wrongRole)).refused).toBe(401);
});

test('/ws/status counts a caller’s own connections alone, an admin’s counts all', async () => {
  const socket = openSocket(world.service.http, '', bearer(alice));
  expect(await socket.refused).toBeUndefined();
  const status = async (token: string): Promise<number> => {
    const response = await fetch(`${world.service.http}/ws/status`, { headers: { authorization: `Bearer ${token}` } });
    return ((await response.json()) as { connections: number }).connections;
  };
  const admin = await world.service.token('root', 'admin');
  await eventually(async () => (await status(alice)) === 1 && (await status(admin)) === 1, PATIENCE);
  expect(await status(mallory)).toBe(0);
  socket.socket.terminate();
});

function text(messages: readonly unknown[]): string {
  return JSON.stringify(messages, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}

function socketQuery(request: { webhookIds?: string[]; eventId?: string; userId?: string; after?: string }) {
  const query: [string, string][] = [];
  if (request.webhookIds !== undefined) query.push(['webhook_id', request.webhookIds[0] ?? '']);
  if (request.eventId !== undefined) query.push(['event_id', request.eventId]);
  if (request.userId !== undefined) query.push(['user_id', request.userId]);
  if (request.after !== undefined) query.push(['after', request.after]);
  return query;
}
