// What a refusal says to its caller, read out of each protocol's own form.
import { fromBinary, fromJson, type DescMessage, type JsonValue } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema, ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { PublishEventsResponseSchema, PublishStreamResponseSchema } from '../../gen/homechef/webhook/v1/event_pb.ts';
import type { PublishResult } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { framesIn, type Reply, type SocketReply } from './wire.ts';

export interface Told {
  readonly code: string;
  readonly reason: string;
  readonly fields: readonly string[];
  /** Null for an item among many: the call itself has one. */
  readonly requestId: string | null;
}

/** In place of a request's id, where the command line refused without a call. */
export const NO_CALL = 'no call was made';

const NOTHING: Told = { code: 'ok', reason: '', fields: [], requestId: null };
const UNTOLD: Told = { code: 'a refusal that says nothing', reason: '', fields: [], requestId: null };

interface RestError {
  readonly error: { code: string; reason: string; request_id: string; details: { field: string }[] };
}

interface ConnectJson {
  readonly code: string;
  readonly details?: { type: string; value: string }[];
}

/** The body of an error over REST, Connect and WebSockets. */
function fromErrorText(text: string): Told {
  const json = parsed(text) as Partial<RestError & ConnectJson> | null;
  if (json === null) return UNTOLD;
  if (json.error !== undefined) {
    const { code, reason, request_id, details } = json.error;
    if (details?.[0] !== undefined && 'type' in details[0]) return fromConnectJson(json.error as unknown as ConnectJson);
    return { code, reason, fields: (details ?? []).map(({ field }) => field), requestId: request_id };
  }
  return fromConnectJson(json as ConnectJson);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function fromConnectJson({ code, details = [] }: ConnectJson): Told {
  const typed = details.map(({ type, value }) => ({ type, bytes: Buffer.from(value, 'base64') }));
  return fromDetails(code, typed);
}

function fromDetails(code: string, details: readonly { type: string; bytes: Uint8Array }[]): Told {
  const bytesOf = (schema: DescMessage): Uint8Array | undefined => details.find(({ type }) => type === schema.typeName)?.bytes;
  const [info, bad] = [bytesOf(ErrorInfoSchema), bytesOf(BadRequestSchema)];
  const { reason = '', metadata = {} } = info === undefined ? {} : fromBinary(ErrorInfoSchema, info);
  const { fieldViolations = [] } = bad === undefined ? {} : fromBinary(BadRequestSchema, bad);
  return { code, reason, fields: fieldViolations.map(({ field }) => field), requestId: metadata['request_id'] ?? null };
}

/** The status and its details, as gRPC sends them in trailers; null where there is no status. */
function fromTrailers(trailers: Readonly<Record<string, string>>): Told | null {
  const status = trailers['grpc-status'];
  if (status === undefined) return null;
  if (status === '0') return NOTHING;
  const code = (Code[Number(status)] ?? '').replaceAll(/(?<!^)([A-Z])/g, '_$1').toLowerCase();
  const details: { type: string; bytes: Uint8Array }[] = [];
  // google.rpc.Status by hand: its field 3 holds the details.
  const reader = new BinaryReader(Buffer.from(trailers['grpc-status-details-bin'] ?? '', 'base64'));
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number !== 3) reader.skip(wireType, number);
    else {
      const { typeUrl, value } = fromBinary(AnySchema, reader.bytes());
      details.push({ type: typeUrl.split('/').at(-1) ?? '', bytes: value });
    }
  }
  return fromDetails(code, details);
}

export type Results = 'batch' | 'stream' | null;

/** A refusal of the call, or else of its only item. */
export function toldByRest({ headers, body }: Reply, results: Results): Told {
  const status = Number(headers[':status']);
  const text = body.toString();
  if (results === 'batch' && (status < 300 || status === 422)) return fromResults([jsonResults(text)].flat());
  return status < 300 ? NOTHING : fromErrorText(text);
}

export function toldByConnect({ headers, body }: Reply, isJson: boolean, results: Results): Told {
  if (headers[':status'] !== '200') return fromErrorText(body.toString());
  return results === null ? NOTHING : fromResults(isJson ? jsonResults(body.toString()) : binaryResults(body));
}

export function toldByConnectStream({ headers, body }: Reply): Told {
  if (headers[':status'] !== '200') return fromErrorText(body.toString());
  const end = framesIn(body).find(({ flags }) => (flags & 2) !== 0);
  if (end === undefined) return UNTOLD;
  const { error } = JSON.parse(end.bytes.toString()) as { error?: ConnectJson };
  return error === undefined ? NOTHING : fromConnectJson(error);
}

export function toldByGrpc({ headers, body }: Reply, isJson: boolean, results: Results): Told {
  const frames = framesIn(body);
  const ending = frames.find(({ flags }) => (flags & 0x80) !== 0)?.bytes.toString() ?? '';
  const inBody = Object.fromEntries(
    ending.split('\r\n').flatMap((line) => {
      const colon = line.indexOf(':');
      return colon < 0 ? [] : [[line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]];
    }),
  ) as Record<string, string>;
  const told = fromTrailers({ ...headers, ...inBody }) ?? fromErrorText(body.toString());
  const first = frames[0];
  if (told !== NOTHING || results === null || first === undefined) return told;
  if (results === 'batch') return fromResults(isJson ? jsonResults(first.bytes.toString()) : binaryResults(first.bytes));
  const { result } = isJson
    ? fromJson(PublishStreamResponseSchema, JSON.parse(first.bytes.toString()) as JsonValue)
    : fromBinary(PublishStreamResponseSchema, first.bytes);
  return fromResults(result === undefined ? [] : [result]);
}

export function toldByWebSocket({ text }: SocketReply): Told {
  return text === '' ? NOTHING : fromErrorText(text);
}

function jsonResults(text: string): PublishResult[] {
  return fromJson(PublishEventsResponseSchema, JSON.parse(text) as JsonValue).results;
}

function binaryResults(bytes: Uint8Array): PublishResult[] {
  return fromBinary(PublishEventsResponseSchema, bytes).results;
}

function fromResults([first]: readonly PublishResult[]): Told {
  if (first?.result.case !== 'error') return NOTHING;
  const { code, reason, field } = first.result.value;
  return { code, reason, fields: field === '' ? [] : [field], requestId: null };
}
