// Unary gRPC: the calls that are answered on Node's streams directly, and those that Connect answers, are the same to a caller.
import { createClient } from '@connectrpc/connect';
import { compressionGzip, createGrpcTransport } from '@connectrpc/connect-node';
import { connect } from 'node:http2';
import type { OutgoingHttpHeaders } from 'node:http2';
import { toBinary, create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { EventService, PublishEventRequestSchema } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { eventually } from '../fixtures/eventually.ts';
import { openListeners } from './listeners.ts';
import type { Listeners } from './listeners.ts';

let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners();
});
afterAll(() => listeners.close());
beforeEach(() => {
  listeners.world.events.length = 0;
  listeners.world.publish = async (event) => ({ eventId: event.id, deliveries: 1, duplicate: false });
});

const request = {
  eventType: 'order.created',
  audience: { broadcast: true },
  payload: { case: 'data' as const, value: { text: 'x'.repeat(5000) } },
};

function client(options: Partial<Parameters<typeof createGrpcTransport>[0]>) {
  return createClient(
    EventService,
    createGrpcTransport({
      baseUrl: listeners.grpcUrl,
      interceptors: [
        (next) => (call) => {
          call.header.set('authorization', 'Bearer service:orders');
          return next(call);
        },
      ],
      ...options,
    }),
  );
}

test.each([
  ['plain', {}],
  ['gzip', { sendCompression: compressionGzip }],
  ['JSON', { useBinaryFormat: false }],
])('%s is answered', async (_name, options) => {
  expect(await client(options).publishEvent(request)).toMatchObject({ deliveries: 1 });
  expect(listeners.world.events[0]?.data).toBe(JSON.stringify(request.payload.value));
});

/** Sends the bytes in the given pieces; gives the headers and trailers that came back. */
function send(pieces: readonly Buffer[], headers: OutgoingHttpHeaders = {}): Promise<Record<string, unknown>> {
  return new Promise((resolve) => {
    const session = connect(listeners.grpcUrl);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/homechef.webhook.v1.EventService/PublishEvent',
      'content-type': 'application/grpc',
      authorization: 'Bearer service:orders',
      ...headers,
    });
    let told: Record<string, unknown> = {};
    stream.on('response', (response) => (told = { ...told, ...response }));
    stream.on('trailers', (trailers) => (told = { ...told, ...trailers }));
    stream.on('error', () => {});
    stream.on('close', () => {
      session.destroy();
      resolve(told);
    });
    stream.resume();
    for (const piece of pieces) stream.write(piece);
    stream.end();
  });
}

function frame(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const message = frame(toBinary(PublishEventRequestSchema, create(PublishEventRequestSchema, request)));

test('a message in many pieces is one message', async () => {
  const pieces = Array.from({ length: Math.ceil(message.length / 100) }, (_, n) => message.subarray(n * 100, n * 100 + 100));
  expect(await send(pieces)).toMatchObject({ 'grpc-status': '0' });
});

test.each([
  ['nothing', Buffer.alloc(0)],
  ['half a frame header', Buffer.alloc(3)],
  ['half a message', message.subarray(0, 50)],
  ['two messages', Buffer.concat([message, message])],
  ['a frame longer than it says', Buffer.concat([message, Buffer.from('x')])],
  ['a compressed frame without an encoding', Buffer.concat([Buffer.from([1]), message.subarray(1)])],
  ['garbage', frame(Buffer.from('ffffffffffffffff', 'hex'))],
  ['text that is not UTF-8', frame(Buffer.from('0a02c328', 'hex'))],
])('%s is invalid_argument', async (_name, bytes) => {
  expect(await send([bytes])).toMatchObject({ 'grpc-status': '3' });
  expect(listeners.world.events).toEqual([]);
});

test('the deadline of the caller ends its call', async () => {
  listeners.world.publish = () => new Promise(() => {});
  expect(await send([message], { 'grpc-timeout': '100m' })).toMatchObject({ 'grpc-status': '4' });
  expect(await send([message], { 'grpc-timeout': 'soon' })).toMatchObject({ 'grpc-status': '3' });
});

test('a deadline of years is no deadline of a millisecond', async () => {
  expect(await send([message], { 'grpc-timeout': '99999999H' })).toMatchObject({ 'grpc-status': '0' });
});

test('a caller that goes away is logged as gone', async () => {
  listeners.world.publish = () => new Promise(() => {});
  const controller = new AbortController();
  const calls = listeners.world.calls.length;
  const answer = client({}).publishEvent(request, { signal: controller.signal });
  await eventually(() => listeners.world.events.length === 1);
  controller.abort();
  await expect(answer).rejects.toMatchObject({ rawMessage: 'This operation was aborted' });
  await eventually(() => listeners.world.calls.length > calls);
  expect(listeners.world.calls.at(-1)).toMatchObject({ protocol: 'grpc', code: 'canceled' });
});
