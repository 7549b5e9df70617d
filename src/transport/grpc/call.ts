// What unary calls and streams have in common on Node's HTTP/2 streams: which of them are ours, who calls, and how one is refused.
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { DescMethod } from '@bufbuild/protobuf';
import type { ContextValues } from '@connectrpc/connect';
import type { CallerAddress } from '../listener/caller-address.ts';
import { toConnectError } from '../call/errors.ts';
import type { ServiceEntry } from '../call/service-entry.ts';
import type { CallInput } from '../call/rpc-call.ts';
import { errorTrailers } from './trailers.ts';

export const ANSWER_HEADERS = { ':status': 200, 'content-type': 'application/grpc+proto' };

/** Protobuf, uncompressed. Connect speaks the rest: JSON, gzip, brotli. */
function isPlain(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type'];
  const encoding = headers['grpc-encoding'];
  return (
    headers[':method'] === 'POST' &&
    (type === 'application/grpc' || type === 'application/grpc+proto') &&
    (encoding === undefined || encoding === 'identity')
  );
}

/** Finds the call of ours that the headers of a new stream ask for; undefined leaves the stream to another handler. */
export function plainCalls<Method extends DescMethod, Call>(
  entries: readonly ServiceEntry[],
  kind: Method['methodKind'],
  prepare: (entry: ServiceEntry, method: Method) => Call,
): (headers: IncomingHttpHeaders) => Call | undefined {
  const calls = new Map<string, Call>();
  for (const entry of entries) {
    for (const method of entry.service.methods) {
      if (method.methodKind !== kind) continue;
      calls.set(`/${entry.service.typeName}/${method.name}`, prepare(entry, method as Method));
    }
  }
  return (headers) => {
    const call = calls.get(headers[':path'] as string);
    return call !== undefined && isPlain(headers) ? call : undefined;
  };
}

/** What the call behind every protocol learns of this one. */
export function callInput(headers: IncomingHttpHeaders, contextValues: ContextValues, signal: AbortSignal): CallInput {
  return { url: `http://grpc${headers[':path']}`, requestMethod: 'POST', header: webHeaders(headers), contextValues, signal };
}

/** What is read by then: each header costs a microsecond to take over, because it is checked once more. */
const READ_ALREADY = new Set(['content-type', 'te', 'grpc-encoding', 'grpc-accept-encoding']);

function webHeaders(headers: IncomingHttpHeaders): Headers {
  const web = new Headers();
  for (const name in headers) {
    const value = headers[name];
    if (name.startsWith(':') || value === undefined || READ_ALREADY.has(name)) continue;
    if (Array.isArray(value)) for (const item of value) web.append(name, item);
    else web.set(name, value);
  }
  return web;
}

// A session's socket answers through a proxy of Node's, which is too slow to ask for every call.
const addresses = new WeakMap<object, string>();

/** Who calls, by address. */
export function addressOf({ session }: ServerHttp2Stream, headers: IncomingHttpHeaders, callers: CallerAddress): string {
  if (session === undefined) return '';
  let peer = addresses.get(session);
  if (peer === undefined)
    addresses.set(session, (peer = callers.of({ peer: session.socket.remoteAddress, forwardedFor: undefined })));
  const forwardedFor = headers['x-forwarded-for'];
  return forwardedFor === undefined ? peer : callers.of({ peer, forwardedFor });
}

/** Whether the caller is gone. */
export function isGone(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.closed;
}

/** Headers alone: gRPC's "trailers only". */
export function refuse(stream: ServerHttp2Stream, requestId: string, thrown: unknown): void {
  if (isGone(stream)) return;
  const trailers = errorTrailers(toConnectError(thrown, requestId));
  stream.respond({ ...ANSWER_HEADERS, 'x-request-id': requestId, ...trailers }, { endStream: true });
  stopSending(stream);
}

/** Asks a caller that is still sending to stop: the reply is complete. In the next turn, when the answer is on its way. */
export function stopSending(stream: ServerHttp2Stream): void {
  if (!stream.readableEnded) setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
}
