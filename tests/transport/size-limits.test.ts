// Every limit of size is reached exactly and exceeded by one byte, through every protocol and encoding; what is said then names the limit.
import { create, toBinary, toJson } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EventService, PublishEventRequestSchema, PublishEventsRequestSchema } from '../../gen/homechef/webhook/v1/event_pb.ts';
import type { PublishEventRequest } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { DeliveryService } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { CreateWebhookRequestSchema, WebhookService } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { MAX_COMMAND_BYTES } from '../../src/transport/body/size-limits.ts';
import { MAX_BATCH_BYTES, MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES, openListeners } from './listeners.ts';
import type { Listeners } from './listeners.ts';
import { rawCalls } from './raw-calls.ts';
import type { Format, Packing, RawCall } from './raw-calls.ts';

let listeners: Listeners;
let calls: Readonly<Record<string, RawCall>>;
beforeAll(async () => {
  listeners = await openListeners();
  calls = rawCalls(listeners);
});
afterAll(() => listeners.close());
beforeEach(() => {
  listeners.world.events.length = 0;
});

const through = (protocol: string): RawCall => {
  const call = calls[protocol];
  if (call === undefined) throw new Error(`no protocol is called ${protocol}`);
  return call;
};

const { publishEvent, publishEvents, publishStream } = EventService.method;
// Payloads that take exactly so many bytes when they are delivered.
const letters = (bytes: number): JsonObject => ({ a: 'x'.repeat(bytes - 8) });
/** Six bytes of escape for three of UTF-8, as Python writes them by default. */
const euroSigns = (bytes: number): JsonObject => ({ a: '€'.repeat(Math.floor((bytes - 8) / 3)) + 'x'.repeat((bytes - 8) % 3) });
/** Eleven bytes of Struct for two of JSON. */
const smallNumbers = (bytes: number): JsonObject => ({
  a: [...Array.from({ length: ((bytes - 8) >> 1) - 1 }, () => 1), bytes % 2 === 0 ? 11 : 111],
});

const escaped = (plain: string): string => plain.replaceAll('€', '\\u20ac').replaceAll('x', '\\u0078');

type Encode = (data: JsonObject) => { readonly message: Buffer; readonly format: Format };

/** One event as a message of PublishEvent, with the payload that this encoding makes longest. */
const ENCODINGS: Readonly<Record<string, { readonly payload: (bytes: number) => JsonObject; readonly encode: Encode }>> = {
  'JSON data': { payload: smallNumbers, encode: (data) => json({ data }) },
  'JSON data, euro signs escaped': { payload: euroSigns, encode: (data) => escapedText(json({ data })) },
  'JSON data, all escaped': { payload: letters, encode: (data) => escapedText(json({ data })) },
  'JSON data_json': { payload: euroSigns, encode: (data) => json({ data_json: base64(JSON.stringify(data)) }) },
  'JSON data_json, all escaped': {
    payload: letters,
    encode: (data) => json({ data_json: base64(escaped(JSON.stringify(data))) }),
  },
  Struct: { payload: smallNumbers, encode: (data) => proto({ case: 'data', value: data }) },
  data_json: { payload: euroSigns, encode: (data) => proto({ case: 'dataJson', value: Buffer.from(JSON.stringify(data)) }) },
  'data_json, all escaped': {
    payload: letters,
    encode: (data) => proto({ case: 'dataJson', value: Buffer.from(escaped(JSON.stringify(data))) }),
  },
};

const base64 = (value: string): string => Buffer.from(value).toString('base64');

/** Only the payload has an x in it. */
function escapedText({ message, format }: ReturnType<Encode>): ReturnType<Encode> {
  return { message: Buffer.from(escaped(message.toString())), format };
}

function json(payload: object): ReturnType<Encode> {
  return {
    message: Buffer.from(JSON.stringify({ event_type: 'order.created', audience: { broadcast: true }, ...payload })),
    format: 'json',
  };
}

function proto(payload: PublishEventRequest['payload']): ReturnType<Encode> {
  const event = create(PublishEventRequestSchema, { eventType: 'order.created', audience: { broadcast: true }, payload });
  return { message: Buffer.from(toBinary(PublishEventRequestSchema, event)), format: 'proto' };
}

const PROTOCOLS: readonly (readonly [string, readonly Format[], readonly Packing[]])[] = [
  ['REST', ['json'], [null, 'gzip']],
  ['Connect', ['json', 'proto'], [null, 'gzip', 'br']],
  ['gRPC-Web', ['json', 'proto'], [null, 'gzip', 'br']],
  ['gRPC', ['json', 'proto'], [null, 'gzip', 'br']],
];
const FORMATS: readonly Format[] = ['json', 'proto'];
const PACKINGS: readonly Packing[] = [null, 'gzip', 'br'];

describe('a payload', () => {
  const rows = PROTOCOLS.flatMap(([protocol, formats, packings]) =>
    Object.entries(ENCODINGS).flatMap(([encoding, { encode, payload }]) =>
      formats.includes(encode({}).format) ? packings.map((packing) => ({ protocol, encoding, packing, encode, payload })) : [],
    ),
  );

  test.each(rows)('$protocol, $encoding, packed: $packing', async ({ protocol, packing, encode, payload }) => {
    const send = (bytes: number) => {
      const { message, format } = encode(payload(bytes));
      return through(protocol)(publishEvent, message, format, packing);
    };
    const stored = () => listeners.world.events.map(({ data }) => Buffer.byteLength(data));
    const answer = await send(MAX_PAYLOAD_BYTES);
    expect([answer.reason, stored()]).toEqual(['', [MAX_PAYLOAD_BYTES]]);
    const refused = await send(MAX_PAYLOAD_BYTES + 1);
    expect([refused.reason, stored()]).toEqual(['payload_too_large', [MAX_PAYLOAD_BYTES]]);
    expect(refused.text).toContain(`is ${MAX_PAYLOAD_BYTES + 1} bytes, more than the ${MAX_PAYLOAD_BYTES} allowed`);
  });

  test.each(Object.entries(ENCODINGS).flatMap(([encoding, how]) => PACKINGS.map((packing) => ({ encoding, packing, ...how }))))(
    'in a stream, $encoding, packed: $packing',
    async ({ packing, encode, payload }) => {
      const send = (bytes: number) => {
        const { message, format } = encode(payload(bytes));
        return through('gRPC stream')(publishStream, streamed(message, format), format, packing);
      };
      expect((await send(MAX_PAYLOAD_BYTES)).reason).toBe('');
      expect((await send(MAX_PAYLOAD_BYTES + 1)).reason).toBe('payload_too_large');
    },
  );

  test.each(['REST', 'Connect', 'gRPC-Web', 'gRPC'])(
    'in a batch, where the one beside it is published: %s',
    async (protocol) => {
      const [fits, exceeds] = [MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1].map((bytes) => json({ data: letters(bytes) }).message);
      const message = Buffer.from(`{"events":[${fits?.toString()},${exceeds?.toString()}]}`);
      const answer = await through(protocol)(publishEvents, message, 'json', null);
      expect(answer.reason).toBe('payload_too_large');
      expect(listeners.world.events.map(({ data }) => Buffer.byteLength(data))).toEqual([MAX_PAYLOAD_BYTES]);
    },
  );
});

/** An event as a message of PublishStream. */
function streamed(message: Buffer, format: Format): Buffer {
  return format === 'proto' ? inField(1, message) : Buffer.from(`{"event":${message.toString()}}`);
}

/** A field that holds these bytes. */
function inField(number: number, bytes: Uint8Array): Buffer {
  return Buffer.from(new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish());
}

/** A message that is padded to so many bytes: JSON with blanks, protobuf with an unknown field. */
function padded(message: Buffer, format: Format, bytes: number): Buffer {
  if (format === 'json') return Buffer.concat([message, Buffer.alloc(bytes - message.length, ' ')]);
  for (let lengthBytes = 1; lengthBytes <= 5; lengthBytes += 1) {
    const filler = bytes - message.length - 2 - lengthBytes;
    const field = inField(1000, Buffer.alloc(filler));
    if (message.length + field.length === bytes) return Buffer.concat([message, field]);
  }
  throw new Error(`no protobuf of ${bytes} bytes`);
}

const small = { case: 'data' as const, value: { a: 1 } };
const event = create(PublishEventRequestSchema, { eventType: 'order.created', audience: { broadcast: true }, payload: small });
const batch = create(PublishEventsRequestSchema, { events: [event] });
const webhook = create(CreateWebhookRequestSchema, { url: 'https://example.com/hook', events: ['order.created'] });
const written = {
  message: {
    proto: Buffer.from(toBinary(PublishEventRequestSchema, event)),
    json: asText(toJson(PublishEventRequestSchema, event, { useProtoFieldName: true })),
  },
  batch: {
    proto: Buffer.from(toBinary(PublishEventsRequestSchema, batch)),
    json: asText(toJson(PublishEventsRequestSchema, batch, { useProtoFieldName: true })),
  },
  command: {
    proto: Buffer.from(toBinary(CreateWebhookRequestSchema, webhook)),
    json: asText(toJson(CreateWebhookRequestSchema, webhook, { useProtoFieldName: true })),
  },
};
function asText(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

describe.each([
  ['message', publishEvent, MAX_MESSAGE_BYTES, 'message_too_large', 'WEBHOOK_MAX_MESSAGE_SIZE'],
  ['batch', publishEvents, MAX_BATCH_BYTES, 'batch_too_large', 'WEBHOOK_MAX_BATCH_SIZE'],
  ['command', WebhookService.method.createWebhook, MAX_COMMAND_BYTES, 'message_too_large', 'a call without events'],
] as const)('a %s', (what, method, maxBytes, reason, name) => {
  const rows = PROTOCOLS.flatMap(([protocol, formats, packings]) =>
    formats.flatMap((format) => packings.map((packing) => ({ protocol, format, packing }))),
  );
  test.each(rows)('$protocol, $format, packed: $packing', async ({ protocol, format, packing }) => {
    const send = (bytes: number) => through(protocol)(method, padded(written[what][format], format, bytes), format, packing);
    expect(await send(maxBytes)).toMatchObject({ ok: true });
    const answer = await send(maxBytes + 1);
    expect(answer).toMatchObject({ ok: false, code: 'invalid_argument', reason });
    expect(answer.text).toMatch(new RegExp(`${maxBytes} bytes that ${name}`));
  });
});

const eachWay = FORMATS.flatMap((format) => PACKINGS.map((packing) => ({ format, packing })));

test.each(eachWay)('a message of a stream, $format, packed: $packing', async ({ format, packing }) => {
  const message = streamed(written.message[format], format);
  const send = (bytes: number) => through('gRPC stream')(publishStream, padded(message, format, bytes), format, packing);
  expect(await send(MAX_MESSAGE_BYTES)).toMatchObject({ ok: true });
  const answer = await send(MAX_MESSAGE_BYTES + 1);
  expect(answer).toMatchObject({ ok: false, code: 'invalid_argument', reason: 'message_too_large' });
  expect(listeners.world.events).toHaveLength(1);
});

test.each(['Connect stream', 'gRPC-Web', 'gRPC'].flatMap((protocol) => eachWay.map((way) => ({ protocol, ...way }))))(
  'a command whose answer is a stream: $protocol, $format, packed: $packing',
  async ({ protocol, format, packing }) => {
    const call = rawCalls(listeners, 'developer:user123')[protocol] as RawCall;
    const command = format === 'json' ? Buffer.from('{}') : Buffer.alloc(0);
    const send = (bytes: number) => call(DeliveryService.method.watchEvents, padded(command, format, bytes), format, packing);
    // It was read: what refuses it is the service behind.
    expect((await send(MAX_COMMAND_BYTES)).text).toBe('There is no such webhook.');
    expect(await send(MAX_COMMAND_BYTES + 1)).toMatchObject({ code: 'invalid_argument', reason: 'message_too_large' });
  },
);

test.each(PROTOCOLS.flatMap(([protocol, formats]) => formats.map((format) => ({ protocol, format }))))(
  'a batch has a thousand events and not one more: $protocol, $format',
  async ({ protocol, format }) => {
    const send = (count: number) => {
      const events = Array.from({ length: count }, () => written.message[format]);
      const message =
        format === 'json'
          ? Buffer.from(`{"events":[${events.map(String).join(',')}]}`)
          : Buffer.concat(events.map((bytes) => inField(1, bytes)));
      return through(protocol)(publishEvents, message, format, null);
    };
    expect(await send(1000)).toMatchObject({ ok: true });
    expect(listeners.world.events).toHaveLength(1000);
    expect(await send(1001)).toMatchObject({ ok: false, code: 'invalid_argument', reason: 'field_invalid' });
    expect(listeners.world.events).toHaveLength(1000);
  },
);
