// How a gRPC call ends on the wire, where Connect's own trailers fall short.
import type { OutgoingHttpHeaders } from 'node:http';
import { type Code, ConnectError } from '@connectrpc/connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { toConnectError } from '../call/errors.ts';

/** The trailers of an error. */
export function errorTrailers(error: ConnectError): OutgoingHttpHeaders {
  const headers = new Headers();
  setTrailerStatus(headers, error);
  const trailers: OutgoingHttpHeaders = Object.fromEntries(headers);
  // As the gRPC specification says: Connect also escapes `:` and `/`, which grpc-js does not undo.
  trailers['grpc-message'] = escapeMessage(error.rawMessage);
  return trailers;
}

/** Connect's own trailers, with the reason that failures of its protocol layer lack: a message too large, bytes that are no message. */
export function mendTrailers(trailers: OutgoingHttpHeaders, requestId: string): OutgoingHttpHeaders {
  const status = trailers['grpc-status'];
  if (status === undefined || status === '0') return trailers;
  const message = unescapeMessage(trailers);
  if (trailers['grpc-status-details-bin'] !== undefined) return { ...trailers, 'grpc-message': escapeMessage(message) };
  const code: unknown = Number(status);
  return { ...trailers, ...errorTrailers(toConnectError(new ConnectError(message, code as Code), requestId)) };
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
