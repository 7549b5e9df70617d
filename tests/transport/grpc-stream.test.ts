// gRPC streams on Node's own HTTP/2 streams: what is read, what is refused, and how a stream ends.
import { createClient } from '@connectrpc/connect';
import { compressionGzip, createGrpcTransport } from '@connectrpc/connect-node';
import { connect, constants } from 'node:http2';
import type { OutgoingHttpHeaders } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ServerReflection, ServerReflectionRequestSchema } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import type { ServerReflectionRequest } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import {
  EventService,
  PublishStreamRequestSchema,
  PublishStreamResponseSchema,
} from '../../gen/homechef/webhook/v1/event_pb.ts';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { Ledger } from '../../src/transport/body/body-budget.ts';
import { GrowingBuffer } from '../../src/transport/body/growing-buffer.ts';
import { FrameBuffer } from '../../src/transport/body/grpc-frames.ts';
import { serve } from '../../src/transport/call/service-entry.ts';
import { eventually } from '../fixtures/eventually.ts';
import { connectClient, MAX_MESSAGE_BYTES, openListeners, SIZES } from './listeners.ts';
import type { Listeners } from './listeners.ts';

const PUBLISH = '/homechef.webhook.v1.EventService/PublishStream';
/** A call that streams both ways and does what the test says. */
const PROBE = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';

type Probe = (requests: AsyncIterable<ServerReflectionRequest>) => AsyncIterable<{ validHost: string }>;

let listeners: Listeners;
let probe: Probe;
beforeEach(async () => {
  const entry = serve(ServerReflection, { serverReflectionInfo: (requests) => probe(requests) });
  listeners = await openListeners({ entries: [entry], http: { limits: { headersTimeoutMs: 300, requestTimeoutMs: 300 } } });
});
afterEach(() => listeners.close(1000));

/** A stream as its bytes; with its headers and trailers. */
function open(path: string, headers: OutgoingHttpHeaders = {}) {
  const session = connect(listeners.grpcUrl);
  session.on('error', () => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    authorization: 'Bearer service:orders',
    ...headers,
  });
  const told: Record<string, unknown> = {};
  const frames = new FrameBuffer(
    SIZES.of(EventService.method.publishStream),
    new GrowingBuffer(new Ledger(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), ''),
  );
  const answers: Buffer[] = [];
  stream.on('response', (response) => Object.assign(told, response));
  stream.on('trailers', (trailers) => Object.assign(told, trailers));
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    frames.add(chunk);
    for (let answer = frames.take(); answer !== null; answer = frames.take()) answers.push(answer);
  });
  const closed = new Promise<Record<string, unknown>>((resolve) =>
    stream.on('close', () => {
      session.destroy();
      resolve(told);
    }),
  );
  return { session, stream, told, answers, closed };
}

function frame(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const event = (n: number): Buffer =>
  frame(
    toBinary(
      PublishStreamRequestSchema,
      create(PublishStreamRequestSchema, {
        event: {
          eventType: 'order.created',
          audience: { broadcast: true },
          payload: { case: 'dataJson', value: Buffer.from(`{"n":${n}}`) },
        },
      }),
    ),
  );
const asked = (host: string): Buffer =>
  frame(toBinary(ServerReflectionRequestSchema, create(ServerReflectionRequestSchema, { host })));

const events = (count: number): Buffer => Buffer.concat(Array.from({ length: count }, (_, n) => event(n)));
const indexOf = (answer: Buffer): number => Number(fromBinary(PublishStreamResponseSchema, answer).index);
const reasonOf = (told: Record<string, unknown>): string =>
  /body_malformed|token_missing/.exec(Buffer.from(String(told['grpc-status-details-bin']), 'base64').toString('latin1'))?.[0] ??
  'no reason';

/** Whatever a connection was about to do, it has done once another call came through. */
const anotherCall = () => connectClient(DeliveryService, listeners, 'grpc').listDeliveries({});

test.each([1, 7, 4096, Number.POSITIVE_INFINITY])(
  'however the frames are cut, every event is read and answered in its order: %s bytes',
  async (size) => {
    const { stream, answers, closed } = open(PUBLISH);
    const bytes = events(50);
    for (let at = 0; at < bytes.length; at += size) {
      // Each by itself: pieces that wait together are sent as one.
      await new Promise((resolve) => stream.write(bytes.subarray(at, at + size), resolve));
    }
    stream.end();
    expect(await closed).toMatchObject({ ':status': 200, 'grpc-status': '0' });
    expect(answers.map(indexOf)).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect(listeners.world.events.map(({ data }) => data)).toEqual(Array.from({ length: 50 }, (_, n) => `{"n":${n}}`));
  },
);

test('a stream without an event ends well', async () => {
  const { stream, closed } = open(PUBLISH);
  stream.end();
  expect(await closed).toMatchObject({ ':status': 200, 'grpc-status': '0' });
});

test.each([1, 4096, 1_000_000])(
  'a message over the limit fails alone, before it has come, and what stands behind it is published: pieces of %s bytes',
  async (size) => {
    const { stream, answers, closed } = open(PUBLISH);
    const tooLong = Buffer.alloc(5 + MAX_MESSAGE_BYTES + 1);
    tooLong.writeUInt32BE(MAX_MESSAGE_BYTES + 1, 1);
    // Its header and what is next to it come in pieces of that size, the rest as fast as it goes.
    const around = 1000;
    const start = Buffer.concat([event(0), tooLong.subarray(0, around)]);
    const end = Buffer.concat([tooLong.subarray(-around), event(2), event(3)]);
    const write = (bytes: Buffer) => new Promise((resolve) => stream.write(bytes, resolve));
    for (let at = 0; at < start.length; at += size) await write(start.subarray(at, at + size));
    await eventually(() => answers.length === 2);
    await write(tooLong.subarray(around, -around));
    for (let at = 0; at < end.length; at += size) await write(end.subarray(at, at + size));
    stream.end();
    expect(await closed).toMatchObject({ ':status': 200, 'grpc-status': '0' });
    expect(answers.map(indexOf)).toEqual([0, 1, 2, 3]);
    const { result } = fromBinary(PublishStreamResponseSchema, answers[1] as Buffer);
    expect(result?.result).toMatchObject({ case: 'error', value: { code: 'invalid_argument', reason: 'message_too_large' } });
    expect(result?.result.value).toMatchObject({
      message: expect.stringMatching(/8454145 bytes.*8454144.*WEBHOOK_MAX_MESSAGE_SIZE/),
    });
    expect(listeners.world.events.map(({ data }) => data)).toEqual(['{"n":0}', '{"n":2}', '{"n":3}']);
  },
);

test.each([
  ['garbage', frame(Buffer.from('ffffffffffffffff', 'hex'))],
  ['a compressed message without an encoding', Buffer.concat([Buffer.from([1]), event(1).subarray(1)])],
  ['half a message', event(1).subarray(0, 20)],
  ['half a header', event(1).subarray(0, 3)],
])('%s ends the stream, and what came before it is answered', async (_name, bytes) => {
  const { stream, answers, closed } = open(PUBLISH);
  stream.end(Buffer.concat([event(0), bytes]));
  const told = await closed;
  expect([told['grpc-status'], reasonOf(told)]).toEqual(['3', 'body_malformed']);
  expect(answers.map(indexOf)).toEqual([0]);
});

test('a refusal is sent in headers alone, with the id of its call', async () => {
  const { stream, closed } = open(PUBLISH, { authorization: '', 'x-request-id': 'request-1' });
  stream.write(event(0));
  const told = await closed;
  expect([told['grpc-status'], told['x-request-id']]).toEqual(['16', 'request-1']);
  expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  expect(listeners.world.events).toEqual([]);
});

test('a deadline ends a stream that says nothing', async () => {
  expect(await open(PUBLISH, { 'grpc-timeout': '50m' }).closed).toMatchObject({ 'grpc-status': '4' });
});

test('a deadline that is no time is refused', async () => {
  const { stream, closed } = open(PUBLISH, { 'grpc-timeout': 'soon' });
  stream.end(event(0));
  expect(await closed).toMatchObject({ 'grpc-status': '3' });
});

test('a deadline longer than a stream may last is cut to that', async () => {
  const { stream, closed } = open(PUBLISH, { 'grpc-timeout': '99999999H' });
  stream.end(event(0));
  expect(await closed).toMatchObject({ 'grpc-status': '0' });
});

test('a stream stays open longer than a message may take', async () => {
  const { stream, answers, closed } = open(PUBLISH);
  stream.write(event(0));
  await eventually(() => answers.length === 1);
  const slow = open('/homechef.webhook.v1.EventService/PublishEvent');
  slow.stream.write(Buffer.from([0, 0]));
  await slow.closed;
  expect(slow.stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
  stream.end(event(1));
  expect(await closed).toMatchObject({ 'grpc-status': '0' });
  expect(answers).toHaveLength(2);
});

test('a stream ends with the reason when the process stops', async () => {
  const { stream, answers, closed } = open(PUBLISH);
  stream.write(event(0));
  await eventually(() => answers.length === 1);
  const closing = listeners.close();
  expect(await closed).toMatchObject({ 'grpc-status': '14' });
  await closing;
  listeners = await openListeners();
});

test.each([
  ['cancels', (call: ReturnType<typeof open>) => call.stream.close(constants.NGHTTP2_CANCEL)],
  ['resets its stream without an error', (call: ReturnType<typeof open>) => call.stream.close(constants.NGHTTP2_NO_ERROR)],
  ['loses its connection', (call: ReturnType<typeof open>) => call.session.destroy()],
])('a caller that %s ends what works for it', async (_name, leave) => {
  let isOver = false;
  probe = async function* () {
    try {
      for (;;) {
        yield { validHost: 'a' };
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      isOver = true;
    }
  };
  const call = open(PROBE);
  await eventually(() => call.answers.length > 0);
  leave(call);
  await eventually(() => isOver);
  await eventually(() => listeners.world.calls.at(-1)?.code === 'canceled');
});

test('a wait for the next message of a lost caller ends with an error, not with the end of the messages', async () => {
  const told: string[] = [];
  probe = async function* (requests) {
    try {
      for await (const { host } of requests) yield { validHost: host };
      told.push('no more');
    } catch (error) {
      told.push(String(error));
    }
  };
  const call = open(PROBE);
  call.stream.write(asked('a'));
  await eventually(() => call.answers.length === 1);
  call.session.destroy();
  await eventually(() => told.length > 0);
  expect(told).toEqual([expect.stringContaining('The caller went away.')]);
});

test('a caller that leaves without reading ends what works for it', async () => {
  let isOver = false;
  probe = async function* () {
    try {
      for (;;) yield { validHost: 'x'.repeat(10_000) };
    } finally {
      isOver = true;
    }
  };
  const call = open(PROBE);
  call.stream.pause();
  call.stream.write(asked('a'));
  await anotherCall();
  expect(isOver).toBe(false);
  call.session.destroy();
  await eventually(() => isOver);
  await eventually(() => listeners.world.calls.at(-1)?.code === 'canceled');
});

test('a caller that does not read its answers is not read from', async () => {
  let taken = 0;
  probe = async function* (requests) {
    for await (const { host } of requests) {
      taken += 1;
      yield { validHost: host.repeat(10_000) };
    }
  };
  const { stream, answers, closed } = open(PROBE);
  stream.pause();
  for (let n = 0; n < 1000; n += 1) stream.write(asked('x'));
  stream.end();
  await eventually(() => taken > 1);
  await anotherCall();
  expect(taken).toBeLessThan(50);
  stream.resume();
  expect(await closed).toMatchObject({ 'grpc-status': '0' });
  expect(answers).toHaveLength(1000);
});

test('messages that the handler does not take are not read from the connection', async () => {
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  probe = async function* (requests) {
    await gate;
    for await (const { host } of requests) yield { validHost: host.slice(0, 1) };
  };
  const { stream, answers, closed } = open(PROBE);
  let sent = 0;
  const send = (): void => {
    if (sent === 200) stream.end();
    else
      stream.write(asked('x'.repeat(60_000)), () => {
        sent += 1;
        send();
      });
  };
  send();
  // What a stream may send ahead of being read is a megabyte.
  await eventually(() => sent > 10);
  for (let n = 0; n < 20; n += 1) await anotherCall();
  expect(sent).toBeLessThan(40);
  release();
  expect(await closed).toMatchObject({ 'grpc-status': '0' });
  expect(answers).toHaveLength(200);
});

test('a call that ends before its caller does leaves nothing open on the connection', async () => {
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  probe = async function* () {
    await gate;
    yield { validHost: 'enough' };
  };
  const session = connect(listeners.grpcUrl);
  const stream = session.request({ ':method': 'POST', ':path': PROBE, 'content-type': 'application/grpc' });
  stream.on('error', () => {});
  let sent = 0;
  for (let n = 0; n < 5; n += 1) stream.write(asked('x'.repeat(60_000)), () => (sent += 1));
  await eventually(() => sent === 5);
  release();
  for await (const _ of stream);
  // Far beyond the time of a test: only a connection without calls is let go earlier.
  await listeners.close(120_000);
  session.destroy();
  listeners = await openListeners();
});

test.each([
  ['plain', {}],
  ['gzip', { sendCompression: compressionGzip }],
  ['JSON', { useBinaryFormat: false }],
])('a %s stream is answered', async (_name, options) => {
  const client = createClient(EventService, createGrpcTransport({ baseUrl: listeners.grpcUrl, ...options }));
  const text = 'x'.repeat(5000);
  async function* requests() {
    for (let n = 0; n < 3; n += 1) {
      const payload = { case: 'data' as const, value: { n, text } };
      yield { event: { eventType: 'order.created', audience: { broadcast: true }, payload } };
    }
  }
  const indexes: bigint[] = [];
  const headers = { authorization: 'Bearer service:orders' };
  for await (const { index } of client.publishStream(requests(), { headers })) indexes.push(index);
  expect(indexes).toEqual([0n, 1n, 2n]);
  expect(listeners.world.events.map(({ data }) => data)).toContain(JSON.stringify({ n: 2, text }));
});

test('streams that come and go leave nothing behind', async () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const publishOnce = async (n: number): Promise<void> => {
    const { stream, answers, closed } = open(PUBLISH, { 'grpc-timeout': '1H' });
    stream.write(event(n));
    await eventually(() => answers.length === 1);
    if (n % 2 === 0) stream.end();
    else stream.close(constants.NGHTTP2_CANCEL);
    await closed;
  };
  await publishOnce(0);
  const before = timers();
  for (let n = 0; n < 200; n += 20) await Promise.all(Array.from({ length: 20 }, (_, i) => publishOnce(n + i)));
  await eventually(() => listeners.world.calls.length === 201);
  await eventually(() => timers() <= before + 5);
});
