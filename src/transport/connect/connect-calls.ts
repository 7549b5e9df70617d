// The calls that Connect answers: Connect, gRPC-Web, and gRPC that is packed, JSON or a stream of answers. Connect negotiates and writes;
// it is handed an empty message, and the call chain reads the caller's own once it knows who calls.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { create } from '@bufbuild/protobuf';
import type { DescMethod, Message } from '@bufbuild/protobuf';
import { createConnectRouter } from '@connectrpc/connect';
import type { ConnectRouterOptions, ContextValues, Interceptor, ServiceImpl, UnaryRequest } from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip, universalRequestFromNodeRequest } from '@connectrpc/connect-node';
import { Body } from '../body/body.ts';
import type { BodyOptions } from '../body/body.ts';
import { decodeMessage, malformed, Unpacker } from '../body/decode.ts';
import { withoutUtf8 } from '../body/media-type.ts';
import { ServiceError } from '../../domain/errors.ts';
import { setProblem, setReader } from '../call/call-context.ts';
import type { MessageReader } from '../call/call-context.ts';
import { connectTimeoutMs, grpcTimeoutMs } from '../call/deadline-header.ts';
import { toServiceError } from '../call/errors.ts';
import { FRAME_HEADER_BYTES, frame } from '../body/grpc-frames.ts';
import { GrpcMessages } from '../body/grpc-messages.ts';
import type { ServiceEntry } from '../call/service-entry.ts';
import { behind } from '../call/rpc-call.ts';
import { MAX_STREAM_MS } from '../listener/server-limits.ts';

/** Either alphabet, with and without padding. */
const BASE64 = /^[\w+/-]*={0,2}$/;

type NodeRequest = IncomingMessage | Http2ServerRequest;
type NodeResponse = ServerResponse | Http2ServerResponse;

/** The handlers of Connect, by the path of their call. */
export function connectHandlers(options: ConnectRouterOptions, entries: readonly ServiceEntry[]): UniversalHandler[] {
  const router = createConnectRouter({ ...options, acceptCompression: [compressionGzip, compressionBrotli] });
  for (const { service, implementation } of entries) router.service(service, implementation as ServiceImpl<typeof service>);
  return router.handlers;
}

export interface ConnectCallOptions extends BodyOptions {
  /** What every call passes: Connect runs them for the calls that it can read, this file for the others. */
  readonly interceptors: readonly Interceptor[];
  /** The longest deadline of a call that is no stream. */
  readonly maxCallMs: number;
}

/** Runs a call. Rejects when the request makes no URL, and for what no protocol reads. */
export async function connectCall(
  handler: UniversalHandler,
  request: NodeRequest,
  response: NodeResponse,
  values: ContextValues,
  options: ConnectCallOptions,
): Promise<UniversalServerResponse> {
  const universal = universalRequestFromNodeRequest(request, response, undefined, values);
  const header = new Headers(universal.header);
  const contentType = withoutUtf8(header.get('content-type') ?? '');
  // Of a GET it says nothing, but Connect would look at it.
  if (universal.method === 'GET') header.delete('content-type');
  else header.set('content-type', contentType);
  const readable = { ...universal, header };
  const problem = unreadable(handler, readable, contentType);
  if (problem !== null) return refuse(handler.method, { ...universal, contextValues: values }, problem, options);

  boundDeadline(handler.method, header, contentType, values, options.maxCallMs);
  const incoming = incomingOf(handler.method, request, readable, contentType, options);
  setReader(values, incoming.read);
  response.once('close', incoming.end);
  const answer = await handler({ ...readable, ...incoming.shown });
  if (!takesStream(handler.method)) incoming.end();
  return answer;
}

// What Connect would answer with a status alone: neither why nor which request it was.
function unreadable(
  handler: UniversalHandler,
  { method, httpVersion, url }: UniversalServerRequest,
  contentType: string,
): ServiceError | null {
  if (handler.method.methodKind === 'bidi_streaming' && httpVersion.startsWith('1.')) {
    return new ServiceError('unimplemented', 'Streams both ways need HTTP/2: call the gRPC port.');
  }
  if (!handler.allowedMethods.includes(method)) {
    return new ServiceError('method_not_allowed', `This call takes ${handler.allowedMethods.join(', ')}.`);
  }
  const isRead =
    method === 'GET'
      ? ['json', 'proto'].includes(new URL(url).searchParams.get('encoding') ?? '')
      : contentType !== '' && handler.supportedContentType(contentType);
  if (isRead) return null;
  const message = method === 'GET' ? 'encoding must be json or proto.' : 'This call does not read that media type here.';
  return new ServiceError('media_type_unsupported', message);
}

// Down the call chain all the same: who has no token learns that first, and the call is logged, counted and limited like any other.
async function refuse(
  method: DescMethod,
  universal: UniversalServerRequest & { readonly contextValues: ContextValues },
  problem: ServiceError,
  { interceptors }: ConnectCallOptions,
): Promise<never> {
  const { url, header, contextValues, signal } = universal;
  setProblem(contextValues, problem);
  const chain = behind(interceptors, () => Promise.reject(problem));
  const request = { stream: false, service: method.parent, method, message: create(method.input) };
  await chain({ ...request, requestMethod: universal.method, url, header, contextValues, signal } as UnaryRequest);
  throw problem;
}

// Connect is shown a deadline that it takes, and none where the caller's is no time.
function boundDeadline(
  method: DescMethod,
  header: Headers,
  contentType: string,
  values: ContextValues,
  maxCallMs: number,
): void {
  const isGrpc = contentType.startsWith('application/grpc');
  const name = isGrpc ? 'grpc-timeout' : 'connect-timeout-ms';
  const text = header.get(name);
  header.delete(name);
  const maxMs = method.methodKind === 'unary' ? maxCallMs : MAX_STREAM_MS;
  try {
    const timeoutMs = isGrpc ? grpcTimeoutMs(text, maxMs) : connectTimeoutMs(text, maxMs);
    if (timeoutMs !== null) header.set(name, `${Math.ceil(timeoutMs)}${isGrpc ? 'm' : ''}`);
  } catch (thrown) {
    setProblem(values, toServiceError(thrown));
  }
}

/** What Connect is shown instead of the caller's message, how that is read, and what ends its reading. */
interface Incoming {
  readonly shown: Pick<UniversalServerRequest, 'body'> & Partial<UniversalServerRequest>;
  readonly read: MessageReader;
  readonly end: () => void;
}

function incomingOf(
  method: DescMethod,
  request: NodeRequest,
  universal: UniversalServerRequest,
  contentType: string,
  options: BodyOptions,
): Incoming {
  if (universal.method === 'GET') return inQuery(method, universal, options);
  const [, framed, format] = /^application\/(?:(grpc-web|grpc|connect)\+?)?(proto|json)?/i.exec(contentType) ?? [];
  const isJson = format?.toLowerCase() === 'json';
  if (framed === undefined) return inBody(method, request, universal, isJson, options);
  const encodingHeader = framed.toLowerCase() === 'connect' ? 'connect-content-encoding' : 'grpc-encoding';
  return inFrames(method, request, universal, { isJson, encodingHeader }, options);
}

function inBody(
  method: DescMethod,
  request: NodeRequest,
  { header }: UniversalServerRequest,
  isJson: boolean,
  options: BodyOptions,
): Incoming {
  const encoding = header.get('content-encoding');
  const declaredBytes = Number(header.get('content-length'));
  header.delete('content-encoding');
  header.delete('content-length');
  const body = new Body(request, options);
  return {
    shown: { header, body: pieces(empty(isJson)) },
    read: async (caller) => {
      const unpacker = new Unpacker(encoding, options.limit);
      if (declaredBytes > options.limit.maxBytes) throw options.limit.refusal(declaredBytes);
      const bytes = await body.whole(caller);
      return decodeMessage(method.input, unpacker.isPacked ? await unpacker.unpack(bytes) : bytes, isJson);
    },
    end: () => body.end(),
  };
}

function inFrames(
  method: DescMethod,
  request: NodeRequest,
  { header }: UniversalServerRequest,
  { isJson, encodingHeader }: { isJson: boolean; encodingHeader: string },
  options: BodyOptions,
): Incoming {
  const encoding = header.get(encodingHeader);
  header.delete(encodingHeader);
  const unpacker = (): Unpacker => new Unpacker(encoding, options.limit);
  if (takesStream(method)) {
    const schema = method.input;
    const decode = (bytes: Buffer, isPacked: boolean): Message =>
      decodeMessage(schema, isPacked ? unpacker().unpackSync(bytes) : bytes, isJson);
    const messages = new GrpcMessages(request, { ...options, schema, decode });
    return {
      shown: { header, body: pieces() },
      read: (caller) => {
        unpacker();
        messages.charge(caller);
        return messages;
      },
      end: () => messages.stop(malformed()),
    };
  }
  const body = new Body(request, options, FRAME_HEADER_BYTES);
  return {
    shown: { header, body: pieces(frame([empty(isJson)])) },
    read: async (caller) => {
      const packing = unpacker();
      const { isPacked, bytes } = oneFrame(await body.whole(caller));
      return decodeMessage(method.input, isPacked ? await packing.unpack(bytes) : bytes, isJson);
    },
    end: () => body.end(),
  };
}

function inQuery(method: DescMethod, universal: UniversalServerRequest, options: BodyOptions): Incoming {
  const url = new URL(universal.url);
  const query = url.searchParams;
  const isJson = query.get('encoding') === 'json';
  const text = query.get('message') ?? '';
  const isBase64 = query.get('base64') === '1';
  const encoding = query.get('compression');
  query.set('message', isJson ? '{}' : '');
  query.delete('base64');
  query.delete('compression');
  return {
    shown: { url: url.toString(), body: pieces() },
    read: async (): Promise<Message> => {
      const unpacker = new Unpacker(encoding, options.limit);
      if (isBase64 && !BASE64.test(text)) throw malformed();
      const bytes = Buffer.from(text, isBase64 ? 'base64url' : 'utf8');
      return decodeMessage(method.input, unpacker.isPacked ? await unpacker.unpack(bytes) : bytes, isJson);
    },
    end: () => {},
  };
}

function takesStream(method: DescMethod): boolean {
  return method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
}

function oneFrame(bytes: Buffer): { isPacked: boolean; bytes: Buffer } {
  const isWhole = bytes.length >= FRAME_HEADER_BYTES && bytes.readUInt32BE(1) === bytes.length - FRAME_HEADER_BYTES;
  const flags = bytes[0] ?? 0;
  if (!isWhole || flags > 1) throw malformed();
  return { isPacked: flags === 1, bytes: bytes.subarray(FRAME_HEADER_BYTES) };
}

function empty(isJson: boolean): Uint8Array {
  return Buffer.from(isJson ? '{}' : '');
}

async function* pieces(...all: Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* all;
}
