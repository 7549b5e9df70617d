// How far releases are, for those who watch: the latest of each, once a second at most, and nothing for those who ask for certain deliveries.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DeliveryStatus, type WatchDeliveriesResponse } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { type ReleaseProgress, ReleaseState } from '../../gen/homechef/webhook/v1/release_pb.ts';
import { newId } from '../../src/domain/ids.ts';
import type { ReleaseProgress as Progress } from '../../src/persistence/queries/release-progress.ts';
import { ReleaseNews } from '../../src/realtime/release-news.ts';
import { Watcher } from '../../src/realtime/watcher.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { bearer, openSocket, watchStream } from './watching.ts';

const PATIENCE = { deadlineMs: 20_000 };

let service: TestApp;
let receiver: Receiver;
let publisher: Rest;
beforeAll(async () => {
  [service, receiver] = await Promise.all([startApp(), startReceiver()]);
  publisher = await service.as('orders', 'service');
});
afterAll(async () => {
  await service.close();
  await receiver.close();
});

const progressOf = ({ messages }: { messages: readonly WatchDeliveriesResponse[] }): ReleaseProgress[] =>
  messages.flatMap(({ message }) => (message.case === 'release' ? [message.value] : []));

test('a stream and a WebSocket see how far a replay is, to the end of all that it sent; no other watcher does', async () => {
  receiver.script('/till', 500, 500, 500, 200);
  const owner = await service.as('owner');
  const webhook = await createWebhook(owner, receiver.url('/till'), { retry_policy: { max_retries: 0 } });
  for (let number = 0; number < 3; number += 1) await publish(publisher, ['owner']);
  const failed = async (): Promise<number> =>
    (await owner('GET', `/api/v1/webhooks/deliveries?webhook_id=${webhook.id}&status=failed`)).body.total;
  await eventually(async () => (await failed()) === 3, { what: 'three failures', ...PATIENCE });

  const token = await service.token('owner');
  const stream = watchStream(service.grpc, token, { webhookIds: [webhook.id] });
  const admin = watchStream(service.http, await service.token('root', 'admin'));
  const socket = openSocket(service.http, '', bearer(token));
  const narrow = watchStream(service.http, token, { statuses: [DeliveryStatus.DELIVERED] });
  const stranger = watchStream(service.http, await service.token('mallory'));
  const all = [stream, admin, socket, narrow, stranger];
  await eventually(() => all.every(({ messages }) => messages.length > 0), { what: 'watchers', ...PATIENCE });

  const { body: replay } = await owner('POST', `/api/v1/webhooks/${webhook.id}/replays`, { rate: 100 });
  const isOver = ({ id, state, delivered }: ReleaseProgress): boolean =>
    id === replay.id && state === ReleaseState.COMPLETED && delivered === 3;
  const isLast = (message: any): boolean => message.data?.id === replay.id && message.data.delivered === 3;
  await eventually(() => [stream, admin].every((seen) => progressOf(seen).some(isOver)), { what: 'the end', ...PATIENCE });
  const last = await eventually(() => socket.messages.find(isLast) as object | undefined, { what: 'its end', ...PATIENCE });
  expect(last).toMatchObject({
    type: 'release_progress',
    data: { webhook_id: webhook.id, user_id: 'owner', rate: 100, matched: 3, released: 3, failed: 0, cancelled: 0 },
    cursor: expect.stringMatching(/^\d{16}/),
  });
  // What they do watch has come, so progress would have come as well.
  await eventually(() => narrow.messages.filter(({ message }) => message.case === 'delivery').length === 3, PATIENCE);
  expect([progressOf(narrow), progressOf(stranger)]).toEqual([[], []]);
  for (const watched of [stream, admin, narrow, stranger]) watched.cancel();
  socket.socket.close();
});

test('the release of a resumed webhook is seen as well', async () => {
  const owner = await service.as('baker');
  const webhook = await createWebhook(owner, receiver.url('/oven'), { paused: true });
  await publish(publisher, ['baker']);
  const stream = watchStream(service.http, await service.token('baker'));
  await eventually(() => stream.messages.length > 0, PATIENCE);
  const { body } = await owner('POST', `/api/v1/webhooks/${webhook.id}/resume`, { rate: 100 });
  const isOver = ({ id, delivered, state }: ReleaseProgress): boolean =>
    id === body.release_id && delivered === 1 && state === ReleaseState.COMPLETED;
  await eventually(() => progressOf(stream).some(isOver), { what: 'the end of the release', ...PATIENCE });
  stream.cancel();
});

test('a look finds what has changed since the last one, also what has begun and ended in between, and nothing else', async () => {
  const { pool } = service.database;
  const news = new ReleaseNews(pool);
  const userIds = ['looker'];
  const add = async (ended: boolean): Promise<string> => {
    const id = newId('replay', Date.now());
    await pool.query(
      `insert into releases (id, webhook_id, user_id, kind, state, rate, ended_at)
       values ($1, 'webhook_of_nobody', 'looker', 'replay', case when $2 then 'completed' else 'paused' end, 1, case when $2 then now() end)`,
      [id, ended],
    );
    return id;
  };
  const ids = (found: readonly Progress[]): string[] => found.map(({ id }) => id);
  await add(true);
  const open = await add(false);
  expect(ids(await news.look(userIds))).toEqual([open]);
  expect(await news.look(userIds)).toEqual([]);
  const short = await add(true);
  expect(ids(await news.look(userIds))).toEqual([short]);
  await pool.query('update releases set rate = 2 where id = $1', [open]);
  expect(await news.look(userIds)).toMatchObject([{ id: open, rate: 2 }]);
  expect(await news.look(['nobody'])).toEqual([]);
});

test('a watcher that reads slowly gets the latest of each release, once, and a cursor to go on from', async () => {
  const filter = {
    userId: null,
    webhookIds: new Set<string>(),
    eventTypes: new Set<string>(),
    statuses: new Set<never>(),
    eventId: null,
  };
  async function* nothing(): AsyncGenerator<[]> {}
  const feed = { horizonMicros: 1_700_000_000_000_000, readPast: nothing, onDropped: () => {}, onClosed: () => {} };
  const watcher = new Watcher(feed, { filter, caller: 'reader', fromMicros: null });
  const progress = (id: string, released: number): Progress => ({
    no: id,
    id,
    webhookId: 'webhook_1',
    userId: 'owner',
    state: 'running',
    reason: null,
    rate: 1,
    matched: 9,
    isMatchedLowerBound: false,
    released,
    delivered: 0,
    failed: 0,
    cancelled: 0,
    createdAtMs: 0,
    endedAtMs: null,
  });
  watcher.offerProgress(progress('one', 1));
  watcher.offerProgress(progress('two', 1));
  watcher.offerProgress(progress('one', 2));
  const first = await watcher.next();
  expect(first).toMatchObject({ kind: 'heartbeat' });
  expect(await watcher.next()).toMatchObject({ kind: 'release', cursor: first?.cursor, progress: { id: 'one', released: 2 } });
  expect(await watcher.next()).toMatchObject({ kind: 'release', progress: { id: 'two', released: 1 } });
  watcher.close();
  expect(await watcher.next()).toBeNull();
});
