// Publishing and registering with bytes of one's own, through each protocol: no client library that would refuse to send them.
import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  AudienceSchema,
  PublishEventRequestSchema,
  PublishEventResponseSchema,
} from '../../gen/homechef/webhook/v1/event_pb.ts';
import { CreateWebhookRequestSchema, WebhookSchema } from '../../gen/homechef/webhook/v1/webhook_pb.ts';

export interface Answer {
  readonly accepted: boolean;
  /** HTTP's or gRPC's. */
  readonly status: number;
  /** In lower case, as REST and Connect write it; gRPC's number. */
  readonly code: string;
  /** Of the event or webhook that was made. */
  readonly id: string;
  readonly text: string;
}

/** Sends the text of a JSON value as the data of an event, or as the field of a webhook. */
export type Send = (value: Uint8Array) => Promise<Answer>;

const AUDIENCE = ['alice'];

export interface Listeners {
  /** By the name of the protocol. */
  readonly publish: Readonly<Record<string, Send>>;
  /** A webhook whose description is the value. */
  readonly create: Readonly<Record<string, Send>>;
  /** The value as the whole body of a call. */
  readonly whole: Readonly<Record<string, Send>>;
  /** A publish whose payload is this protobuf Struct. */
  publishStruct(struct: Uint8Array): Promise<Answer>;
  close(): void;
}

export async function openProtocols(
  http: string,
  grpc: string,
  tokens: { readonly publisher: string; readonly developers: readonly string[] },
): Promise<Listeners> {
  const session = connect(`http://${grpc}`);
  await once(session, 'connect');
  // Webhooks of one user are made one after the other; those of many are not.
  let turn = 0;
  const developer = (): string => tokens.developers[turn++ % tokens.developers.length] ?? '';
  const publisher = (): string => tokens.publisher;
  const rest = (path: string, token: () => string, id: string) => (body: Uint8Array) => post(http + path, token(), body, id);
  const publishPath = '/homechef.webhook.v1.EventService/PublishEvent';
  const createPath = '/homechef.webhook.v1.WebhookService/CreateWebhook';
  const publishGrpc = async (message: Uint8Array): Promise<Answer> => {
    const { status, text, bytes } = await callGrpc(session, publishPath, tokens.publisher, message);
    const id = bytes === null ? '' : fromBinary(PublishEventResponseSchema, bytes).eventId;
    return { accepted: status === 0, status, code: String(status), id, text };
  };
  const createGrpc = async (message: Uint8Array): Promise<Answer> => {
    const { status, text, bytes } = await callGrpc(session, createPath, developer(), message);
    const id = bytes === null ? '' : fromBinary(WebhookSchema, bytes).id;
    return { accepted: status === 0, status, code: String(status), id, text };
  };
  const event = { eventType: 'order.created', audience: create(AudienceSchema, { userIds: AUDIENCE }) };
  const webhook = { url: 'https://example.com/hook', events: ['order.created'] };
  return {
    publish: {
      REST: within(
        '{"event_type":"order.created","audience":{"user_ids":["alice"]},"data":',
        rest('/api/v1/events', publisher, 'event_id'),
      ),
      'Connect JSON': within(
        '{"eventType":"order.created","audience":{"userIds":["alice"]},"data":',
        rest(publishPath, publisher, 'eventId'),
      ),
      'gRPC data_json': (value) => {
        const payload = { case: 'dataJson' as const, value: Buffer.from(value) };
        return publishGrpc(toBinary(PublishEventRequestSchema, create(PublishEventRequestSchema, { ...event, payload })));
      },
    },
    create: {
      REST: within(
        '{"url":"https://example.com/hook","events":["order.created"],"description":',
        rest('/api/v1/webhooks', developer, 'id'),
      ),
      'Connect JSON': within(
        '{"url":"https://example.com/hook","events":["order.created"],"description":',
        rest(createPath, developer, 'id'),
      ),
      // A string field holds bytes on the wire; whether they are text is for the other side to find out.
      gRPC: (value) => {
        const message = toBinary(CreateWebhookRequestSchema, create(CreateWebhookRequestSchema, webhook));
        const { number } = CreateWebhookRequestSchema.field.description;
        const field = new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(value).finish();
        return createGrpc(Buffer.concat([message, field]));
      },
    },
    whole: {
      'REST publish': rest('/api/v1/events', publisher, 'event_id'),
      'REST batch': rest('/api/v1/events/batch', publisher, 'event_id'),
      'REST create': rest('/api/v1/webhooks', developer, 'id'),
      'Connect JSON publish': rest(publishPath, publisher, 'eventId'),
      'Connect JSON create': rest(createPath, developer, 'id'),
    },
    publishStruct(struct) {
      const message = toBinary(PublishEventRequestSchema, create(PublishEventRequestSchema, event));
      const { number } = PublishEventRequestSchema.field.data;
      const field = new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(struct).finish();
      return publishGrpc(Buffer.concat([message, field]));
    },
    close: () => session.close(),
  };
}

function within(before: string, send: Send): Send {
  return (value) => send(Buffer.concat([Buffer.from(before), value, Buffer.from('}')]));
}

async function post(url: string, token: string, body: Uint8Array, idField: string): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: new Uint8Array(body),
  });
  const text = await response.text();
  const json = JSON.parse(text) as Record<string, string | undefined> & { error?: { code: string } };
  return {
    accepted: response.ok,
    status: response.status,
    code: json.error?.code ?? json['code'] ?? '',
    id: json[idField] ?? '',
    text,
  };
}

async function callGrpc(session: ClientHttp2Session, path: string, token: string, message: Uint8Array) {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  });
  const headers: Record<string, unknown> = {};
  const chunks: Buffer[] = [];
  stream.on('response', (told) => Object.assign(headers, told));
  stream.on('trailers', (told) => Object.assign(headers, told));
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
  await once(stream, 'close');
  const status = Number(headers['grpc-status']);
  return { status, text: JSON.stringify(headers), bytes: status === 0 ? Buffer.concat(chunks).subarray(5) : null };
}

/** A protobuf Struct with whatever numbers, keys and bytes it is given, which no library would write. */
export function structOf(value: Readonly<Record<string, unknown>>): Uint8Array {
  const writer = new BinaryWriter();
  for (const [key, item] of Object.entries(value)) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).bytes(utf8(key));
    writer.tag(2, WireType.LengthDelimited).bytes(valueOf(item)).join();
  }
  return writer.finish();
}

function valueOf(value: unknown): Uint8Array {
  const writer = new BinaryWriter();
  if (value === null) return writer.tag(1, WireType.Varint).int32(0).finish();
  if (typeof value === 'number') return writer.tag(2, WireType.Bit64).double(value).finish();
  if (typeof value === 'string') return writer.tag(3, WireType.LengthDelimited).bytes(utf8(value)).finish();
  if (typeof value === 'boolean') return writer.tag(4, WireType.Varint).bool(value).finish();
  if (value instanceof Uint8Array) return writer.tag(3, WireType.LengthDelimited).bytes(value).finish();
  if (Array.isArray(value)) {
    const list = new BinaryWriter();
    for (const item of value) list.tag(1, WireType.LengthDelimited).bytes(valueOf(item));
    return writer.tag(6, WireType.LengthDelimited).bytes(list.finish()).finish();
  }
  return writer
    .tag(5, WireType.LengthDelimited)
    .bytes(structOf(value as Record<string, unknown>))
    .finish();
}

/** With lone surrogates written as if they were characters, as languages do that do not look. */
function utf8(text: string): Uint8Array {
  const parts = Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0;
    const isLone = code >= 0xd800 && code < 0xe000;
    return isLone ? Buffer.from([0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)]) : Buffer.from(character);
  });
  return Buffer.concat(parts);
}
