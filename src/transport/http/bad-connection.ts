// Answers what is not HTTP enough to become a request: header floods, smuggling attempts, senders that are too slow.
import type { Socket } from 'node:net';
import { randomUUID } from 'node:crypto';
import { ServiceError } from '../../domain/errors.ts';
import { restErrorBody } from '../rest/rest-error.ts';

const REFUSALS: Readonly<Record<string, readonly [status: string, message: string]>> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers are larger than this service reads.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not arrive in time.'],
};

/** Writes one answer and closes: after bytes that were not understood, nothing on this connection can be trusted. */
export function refuseBadConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = REFUSALS[error.code ?? ''] ?? ['400 Bad Request', 'The request is not well-formed HTTP.'];
  const body = JSON.stringify(restErrorBody(new ServiceError('body_malformed', message), randomUUID()));
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  );
}
