// The end of the gRPC listener: no call that is on its way is dropped.
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { eventually } from '../fixtures/eventually.ts';
import { pause } from '../../src/lifecycle/pause.ts';
import { connectClient, openListeners } from './listeners.ts';

const request = {
  eventType: 'order.created',
  audience: { broadcast: true },
  payload: { case: 'data' as const, value: { text: 'on its way' } },
};
/** A frame of no bytes, type 4, no flags, stream 0. */
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

test('a call that crosses the end of an idle connection is answered', async () => {
  const listeners = await openListeners();
  const events = connectClient(EventService, listeners, 'grpc');
  await events.publishEvent(request);
  const closing = listeners.close();
  // In the same turn: whatever the server has sent by now has not been read.
  expect(await events.publishEvent(request)).toMatchObject({ deliveries: 1 });
  await closing;
});

test('calls that follow each other on one connection are answered until a moment without any', async () => {
  const listeners = await openListeners();
  const events = connectClient(EventService, listeners, 'grpc');
  await events.publishEvent(request);
  const closing = listeners.close();
  for (let n = 0; n < 5; n += 1) expect(await events.publishEvent(request)).toMatchObject({ deliveries: 1 });
  await closing;
});

test('on a connection that is never idle each call gets a reply, or a refusal that says that it may be repeated', async () => {
  const listeners = await openListeners();
  listeners.world.publish = async (event) => {
    await pause(5);
    return { eventId: event.id, deliveries: 1, duplicate: false };
  };
  const events = connectClient(EventService, listeners, 'grpc');
  await events.publishEvent(request);
  let isClosed = false;
  const closing = listeners.close(1000).then(() => (isClosed = true));
  const told: Promise<string>[] = [];
  while (!isClosed) {
    told.push(
      events.publishEvent(request).then(
        () => 'answered',
        (error: unknown) => String(error),
      ),
    );
    await pause(2);
  }
  await closing;
  const answers = await Promise.all(told);
  const others = answers.filter((answer) => !/^answered$|REFUSED_STREAM|ECONNREFUSED/.test(answer));
  expect(others).toEqual([]);
  expect(answers.filter((answer) => answer === 'answered').length).toBeGreaterThan(10);
});

test('a client that answers nothing is closed all the same', async () => {
  const listeners = await openListeners();
  const { hostname, port } = new URL(listeners.grpcUrl);
  const socket = connect(Number(port), hostname);
  let heard = 0;
  socket.on('data', (chunk: Buffer) => (heard += chunk.length));
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(EMPTY_SETTINGS);
  await eventually(() => heard > 0, { what: 'settings of the server' });
  const ended = once(socket, 'close');
  await Promise.all([listeners.close(), ended]);
});
