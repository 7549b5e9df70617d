// How a gRPC call ends on the wire, where Connect's own way of telling it falls short.
import type { OutgoingHttpHeaders } from 'node:http';
import { ConnectError } from '@connectrpc/connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { toConnectError } from './errors.ts';

/**
 * Gives failures of the protocol layer (a message that is too large, bytes that are no message) the reason that every other error
 * has, and writes the message as the gRPC specification says: Connect also escapes `:` and `/`, which grpc-js does not undo.
 */
export function mendTrailers(trailers: OutgoingHttpHeaders, requestId: string): OutgoingHttpHeaders {
  const status = trailers['grpc-status'];
  if (status === undefined || status === '0') return trailers;
  const mended: OutgoingHttpHeaders = { ...trailers };
  if (trailers['grpc-status-details-bin'] === undefined) {
    const error = toConnectError(new ConnectError(unescapeMessage(trailers), Number(status)), requestId);
    const headers = new Headers();
    setTrailerStatus(headers, error);
    for (const [name, value] of headers) mended[name] = value;
  }
  mended['grpc-message'] = escapeMessage(unescapeMessage(mended));
  return mended;
}

function unescapeMessage(trailers: OutgoingHttpHeaders): string {
  const message = trailers['grpc-message'];
  return typeof message === 'string' ? decodeURIComponent(message) : '';
}

/** Everything but the printable ASCII characters other than `%`, as UTF-8. */
function escapeMessage(message: string): string {
  return message.replaceAll(/[^\x20-\x24\x26-\x7e]+/gu, (characters) =>
    [...Buffer.from(characters)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
