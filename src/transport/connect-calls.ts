// The calls that Connect answers: Connect, gRPC-Web, and gRPC that is packed, JSON or a stream of answers. Connect negotiates and writes;
// it is handed an empty message, and the call chain reads the caller's own once it knows who calls.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { DescMethod, Message } from '@bufbuild/protobuf';
import { createConnectRouter } from '@connectrpc/connect';
import type { ConnectRouterOptions, ContextValues } from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip, universalRequestFromNodeRequest } from '@connectrpc/connect-node';
import { Body } from './body/body.ts';
import type { BodyOptions } from './body/body.ts';
import { decodeMessage, malformed, messageTooLarge, Unpacker } from './body/decode.ts';
import { withoutUtf8 } from './body/media-type.ts';
import { setReader } from './call-context.ts';
import type { MessageReader } from './call-context.ts';
import { connectRoutes } from './connect-options.ts';
import { FRAME_HEADER_BYTES, frame } from './grpc/frames.ts';
import { GrpcMessages } from './grpc/messages.ts';
import type { ServiceEntry } from './router.ts';

/** Either alphabet, with and without padding. */
const BASE64 = /^[\w+/-]*={0,2}$/;

type NodeRequest = IncomingMessage | Http2ServerRequest;
type NodeResponse = ServerResponse | Http2ServerResponse;

/** The handlers of Connect, by the path of their call. */
export function connectHandlers(options: ConnectRouterOptions, entries: readonly ServiceEntry[]): UniversalHandler[] {
  const router = createConnectRouter({ ...options, acceptCompression: [compressionGzip, compressionBrotli] });
  connectRoutes(entries)(router);
  return router.handlers;
}

/** Runs a call. Rejects when the request makes no URL. */
export async function connectCall(
  handler: UniversalHandler,
  request: NodeRequest,
  response: NodeResponse,
  values: ContextValues,
  options: BodyOptions,
): Promise<UniversalServerResponse> {
  const universal = universalRequestFromNodeRequest(request, response, undefined, values);
  const incoming = incomingOf(handler.method, request, universal, options);
  if (incoming === null) return handler({ ...universal, body: pieces() });
  setReader(values, incoming.read);
  response.once('close', incoming.end);
  const answer = await handler({ ...universal, ...incoming.shown });
  if (!takesStream(handler.method)) incoming.end();
  return answer;
}

/** What Connect is shown instead of the caller's message, how that is read, and what ends its reading. */
interface Incoming {
  readonly shown: Pick<UniversalServerRequest, 'body'> & Partial<UniversalServerRequest>;
  readonly read: MessageReader;
  readonly end: () => void;
}

// Null for what no protocol reads: Connect refuses it by its headers.
function incomingOf(
  method: DescMethod,
  request: NodeRequest,
  universal: UniversalServerRequest,
  options: BodyOptions,
): Incoming | null {
  if (universal.method === 'GET') return inQuery(method, universal, options);
  const contentType = withoutUtf8(universal.header.get('content-type') ?? '');
  const [, framed, format] = /^application\/(?:(grpc-web|grpc|connect)\+?)?(proto|json)?$/i.exec(contentType) ?? [];
  if (framed === undefined && format === undefined) return null;
  const header = new Headers(universal.header);
  header.set('content-type', contentType);
  const isJson = format?.toLowerCase() === 'json';
  if (framed === undefined) return inBody(method, request, { ...universal, header }, isJson, options);
  const encodingHeader = framed.toLowerCase() === 'connect' ? 'connect-content-encoding' : 'grpc-encoding';
  return inFrames(method, request, { ...universal, header }, { isJson, encodingHeader }, options);
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
      const unpacker = new Unpacker(encoding, options.maxBytes);
      if (declaredBytes > options.maxBytes) throw messageTooLarge();
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
  const unpacker = (): Unpacker => new Unpacker(encoding, options.maxBytes);
  if (takesStream(method)) {
    const messages = new GrpcMessages(request, options, (bytes, isPacked) =>
      decodeMessage(method.input, isPacked ? unpacker().unpackSync(bytes) : bytes, isJson),
    );
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
  const body = new Body(request, { ...options, maxBytes: options.maxBytes + FRAME_HEADER_BYTES });
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
      const unpacker = new Unpacker(encoding, options.maxBytes);
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
