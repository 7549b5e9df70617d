// Streams: results in order, no more in memory than the window, and an end that says why.
import { Code, ConnectError } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import type { ClientDuplexStream, ServiceError as GrpcError } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { eventually } from '../fixtures/eventually.ts';
import { bearer, connectClient, grpcJsClient, openListeners } from './listeners.ts';
import type { Listeners } from './listeners.ts';

let listeners: Listeners;
beforeEach(async () => {
  listeners = await openListeners();
});
afterEach(() => listeners.close());

const event = (n: number) => ({
  event: { event_type: 'order.created', data_json: Buffer.from(`{"n":${n}}`), audience: { broadcast: true } },
});

interface Answer {
  readonly index: string;
  readonly result: {
    readonly published?: { readonly event_id: string };
    readonly error?: { readonly reason: string; readonly field: string };
  };
}

function openPublishStream(token = 'service:orders') {
  const client = grpcJsClient(listeners, 'EventService');
  const open = client['PublishStream'] as (metadata: unknown) => ClientDuplexStream<object, Answer>;
  const stream = open.call(client, bearer(token));
  const answers: Answer[] = [];
  stream.on('data', (answer: Answer) => answers.push(answer));
  const ended = new Promise<GrpcError | null>((resolve) => {
    stream.on('error', (error: GrpcError) => resolve(error));
    stream.on('end', () => resolve(null));
  }).finally(() => client.close());
  return { stream, answers, ended };
}

/** Answers no publish before the function that it returns is called. */
function holdPublishes(): () => void {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  listeners.world.publish = async (row) => {
    await gate;
    return { eventId: row.id, deliveries: 1, duplicate: false };
  };
  return release;
}

test('publishes a thousand events and answers each in its order, however the commits finish', async () => {
  listeners.world.publish = async (row) => {
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    return { eventId: row.id, deliveries: 1, duplicate: false };
  };
  const { stream, answers, ended } = openPublishStream();
  for (let n = 0; n < 1000; n += 1) stream.write(event(n));
  stream.end();
  expect(await ended).toBeNull();
  expect(answers.map(({ index }) => Number(index ?? 0))).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  const ids = new Map(listeners.world.events.map((row) => [row.id, row.data]));
  expect(answers.map(({ result }) => ids.get(result.published?.event_id ?? ''))).toEqual(
    Array.from({ length: 1000 }, (_, n) => `{"n":${n}}`),
  );
});

test('answers while the publisher is still sending, and a bad event is a bad result', async () => {
  const { stream, answers, ended } = openPublishStream();
  stream.write(event(0));
  await eventually(() => answers.length === 1);
  stream.write({ event: { event_type: 'order.created', data_json: Buffer.from('{}') } });
  stream.write({});
  stream.write(event(3));
  await eventually(() => answers.length === 4);
  expect(answers.map(({ result }) => result.error?.field ?? 'ok')).toEqual(['ok', 'audience', 'event', 'ok']);
  stream.end();
  expect(await ended).toBeNull();
});

test('takes no more than its window from a publisher whose events are not committed', async () => {
  const release = holdPublishes();
  const { stream, answers, ended } = openPublishStream();
  for (let n = 0; n < 2000; n += 1) stream.write(event(n));
  stream.end();
  await eventually(() => listeners.world.events.length === 1000);
  // Whatever would come beyond the window would have come with it: another call goes through in between.
  await connectClient(DeliveryService, listeners, 'grpc').listDeliveries({});
  expect(listeners.world.events).toHaveLength(1000);
  release();
  expect(await ended).toBeNull();
  expect(answers).toHaveLength(2000);
});

test('takes one event at a time while too much waits to be written, and the rest once it is', async () => {
  listeners.world.publisher.isBusy = true;
  const release = holdPublishes();
  const { stream, answers, ended } = openPublishStream();
  for (let n = 0; n < 100; n += 1) stream.write(event(n));
  stream.end();
  await eventually(() => listeners.world.events.length === 1);
  await connectClient(DeliveryService, listeners, 'grpc').listDeliveries({});
  expect(listeners.world.events).toHaveLength(1);
  listeners.world.publisher.isBusy = false;
  release();
  expect(await ended).toBeNull();
  expect(answers).toHaveLength(100);
});

test('a developer cannot open a publish stream', async () => {
  const { stream, ended } = openPublishStream('developer:user123');
  stream.write(event(0));
  expect(await ended).toMatchObject({ code: Code.PermissionDenied });
  expect(listeners.world.events).toEqual([]);
});

async function endOf(stream: AsyncIterable<unknown>, onFirst: () => void): Promise<ConnectError> {
  try {
    for await (const _ of stream) onFirst();
  } catch (error) {
    if (error instanceof ConnectError) return error;
    throw error;
  }
  throw new Error('ended without an error');
}

test.each(['connect', 'grpc-web', 'grpc'] as const)(
  'over %s a watcher gets the reason when the process stops',
  async (protocol) => {
    const stream = connectClient(DeliveryService, listeners, protocol, 'developer:user123').watchDeliveries({});
    let closed: Promise<void> | undefined;
    const error = await endOf(stream, () => {
      closed = listeners.close();
    });
    expect(error.code).toBe(Code.Unavailable);
    await closed;
    listeners = await openListeners();
  },
);

test.each(['connect', 'grpc-web', 'grpc'] as const)(
  'over %s a watcher gets the reason when its token expires',
  async (protocol) => {
    const stream = connectClient(DeliveryService, listeners, protocol, 'developer:user123:300').watchDeliveries({});
    expect((await endOf(stream, () => {})).code).toBe(Code.Unauthenticated);
  },
);

test('a unary call in flight is answered although the process stops', async () => {
  const release = holdPublishes();
  const request = { eventType: 'order.created', audience: { broadcast: true }, payload: { case: 'data' as const, value: {} } };
  const answers = Promise.all(
    (['grpc', 'connect'] as const).map((protocol) => connectClient(EventService, listeners, protocol).publishEvent(request)),
  );
  await eventually(() => listeners.world.events.length === 2);
  const closed = listeners.close();
  release();
  expect((await answers).map(({ deliveries }) => deliveries)).toEqual([1, 1]);
  await closed;
  listeners = await openListeners();
});

test('a client that cancels 250 calls at once keeps its connection', async () => {
  const client = connectClient(DeliveryService, listeners, 'grpc', 'developer:user123');
  const controller = new AbortController();
  let watching = 0;
  const all = Array.from({ length: 250 }, async () => {
    try {
      for await (const _ of client.watchDeliveries({}, { signal: controller.signal }))
        if ((watching += 1) === 250) controller.abort();
    } catch (error) {
      return ConnectError.from(error).code;
    }
    return null;
  });
  expect(new Set(await Promise.all(all))).toEqual(new Set([Code.Canceled]));
  await eventually(() => listeners.world.calls.length === 250);
  // With the connection every call on it would have gone, those that were not cancelled too.
  expect(listeners.world.calls.every(({ code }) => code === 'canceled')).toBe(true);
  const last = new AbortController();
  for await (const update of client.watchDeliveries({}, { signal: last.signal })) {
    expect(update).toBeDefined();
    break;
  }
});

test('a thousand watchers that come and go leave nothing behind', async () => {
  const watchOnce = async (client: Client<typeof DeliveryService>): Promise<void> => {
    const controller = new AbortController();
    try {
      for await (const _ of client.watchDeliveries({}, { signal: controller.signal })) controller.abort();
    } catch {
      // Cancelled by ourselves.
    }
  };
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  // A connection may reset a few dozen calls a second, so each crowd has its own.
  const connected = (): Client<typeof DeliveryService> =>
    connectClient(DeliveryService, listeners, 'grpc', 'developer:user123');
  await watchOnce(connected());
  const before = timers();
  for (let n = 0; n < 1000; n += 40) {
    const client = connected();
    await Promise.all(Array.from({ length: 40 }, () => watchOnce(client)));
  }
  await eventually(() => listeners.world.calls.length === 1001);
  expect(listeners.world.calls.every(({ code }) => code === 'canceled')).toBe(true);
  await eventually(() => timers() <= before + 5);
});
