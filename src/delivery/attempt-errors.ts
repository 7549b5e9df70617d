// What Node, OpenSSL and undici call a failed connection, as the stable codes of an attempt.
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
  // The connection ended where the parser expected more.
  ['HPE_INVALID_EOF_STATE', 'connection_reset'],
  ['HPE_CLOSED_CONNECTION', 'connection_reset'],
  ['UND_ERR_HEADERS_OVERFLOW', 'response_headers_too_large'],
  ['HPE_HEADER_OVERFLOW', 'response_headers_too_large'],
  ['EPROTO', 'tls_error'],
]);

/** undici raises one code for a closed socket and for an answer it did not ask for; these messages mean the latter. */
const UNASKED_ANSWERS = new Set(['bad response', 'bad upgrade']);

/** The code for an error of the connection. What is not known is the receiver's doing too: `protocol_error`, never a crash. */
export function attemptErrorOf(error: unknown): AttemptError {
  const code = codeOf(error);
  if (code === 'UND_ERR_SOCKET') {
    return error instanceof Error && UNASKED_ANSWERS.has(error.message) ? 'protocol_error' : 'connection_reset';
  }
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
