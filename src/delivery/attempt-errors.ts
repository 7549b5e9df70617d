// What Node and OpenSSL call a failed connection, as the stable codes of an attempt.
import type { AttemptError } from '../domain/delivery.ts';

const CODES = new Map<string, AttemptError>([
  ['ECONNREFUSED', 'connection_refused'],
  ['EHOSTUNREACH', 'connection_refused'],
  ['EHOSTDOWN', 'connection_refused'],
  ['ENETUNREACH', 'connection_refused'],
  ['ENETDOWN', 'connection_refused'],
  ['EADDRNOTAVAIL', 'connection_refused'],
  ['EAFNOSUPPORT', 'connection_refused'],
  ['EACCES', 'connection_refused'],
  ['EPERM', 'connection_refused'],
  ['EINVAL', 'connection_refused'],
  // Ours, not the receiver's: no descriptor or buffer left. It is tried again like a refusal.
  ['EMFILE', 'connection_refused'],
  ['ENFILE', 'connection_refused'],
  ['ENOBUFS', 'connection_refused'],
  ['ENOMEM', 'connection_refused'],
  ['ETIMEDOUT', 'timeout'],
  ['ERR_SOCKET_CONNECTION_TIMEOUT', 'timeout'],
  ['ECONNRESET', 'connection_reset'],
  ['ECONNABORTED', 'connection_reset'],
  ['ENOTCONN', 'connection_reset'],
  ['EPIPE', 'connection_reset'],
  ['ERR_STREAM_WRITE_AFTER_END', 'connection_reset'],
  ['ERR_STREAM_DESTROYED', 'connection_reset'],
  ['EPROTO', 'tls_error'],
]);

/** The code for an error of the connection. What is not known is the receiver's doing too: `protocol_error`, never a crash. */
export function attemptErrorOf(error: unknown): AttemptError {
  const code = codeOf(error);
  // TLS 1.3 reports a refused handshake only after it is over, as an alert on the open connection.
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) return 'tls_error';
  return CODES.get(code) ?? 'protocol_error';
}

/** The same for an error before the TLS handshake was over: what is no network failure is a certificate or cipher problem. */
export function handshakeErrorOf(error: unknown): AttemptError {
  return CODES.get(codeOf(error)) ?? 'tls_error';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
