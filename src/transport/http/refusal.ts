// A refusal that no call has made (no such path, a method that is not taken, a header that is no header), as the caller's protocol says it.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { errorToJson } from '@connectrpc/connect/protocol-connect';
import type { ServiceError } from '../../domain/errors.ts';
import { toConnectError } from '../call/errors.ts';
import { errorTrailers } from '../grpc/trailers.ts';
import { restErrorBody, restHeaders, restStatus } from '../rest/rest-error.ts';

export interface Refusal {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: string | Buffer;
}

/** Connect's frame that ends a stream: a flag, and a length of four bytes. */
const END_STREAM_FLAG = 2;
const FRAME_HEADER_BYTES = 5;

/** Which protocol of RPC the headers of a request speak; null: none that differs from REST. */
export function rpcProtocolOf(headers: IncomingHttpHeaders): 'grpc-web' | 'connect' | 'connect stream' | null {
  const type = headers['content-type'] ?? '';
  if (type.startsWith('application/grpc-web')) return 'grpc-web';
  if (type.startsWith('application/connect+')) return 'connect stream';
  return type.startsWith('application/proto') || headers['connect-protocol-version'] !== undefined ? 'connect' : null;
}

export function refusal(request: IncomingHttpHeaders, error: ServiceError, requestId: string): Refusal {
  const status = restStatus(error);
  const headers = { ...restHeaders(error), 'content-type': 'application/json; charset=utf-8' };
  const ofRpc = (): ReturnType<typeof toConnectError> => toConnectError(error, requestId);
  switch (rpcProtocolOf(request)) {
    case 'grpc-web':
      return { status: 200, headers: { 'content-type': request['content-type'], ...errorTrailers(ofRpc()) }, body: '' };
    case 'connect stream':
      return { status: 200, headers: { 'content-type': request['content-type'] }, body: endOfStream(ofRpc()) };
    case 'connect':
      return {
        status,
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(errorToJson(ofRpc(), undefined)),
      };
    case null:
      return { status, headers, body: JSON.stringify(restErrorBody(error, requestId)) };
  }
}

function endOfStream(error: ReturnType<typeof toConnectError>): Buffer {
  const text = Buffer.from(JSON.stringify({ error: errorToJson(error, undefined) }));
  const head = Buffer.alloc(FRAME_HEADER_BYTES);
  head[0] = END_STREAM_FLAG;
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, text]);
}
