// What Node and OpenSSL call a failed connection, as the stable codes of an attempt.
import type { AttemptError } from '../domain/delivery.ts';

const CODES = new Map<string, AttemptError>([
  ['ECONNREFUSED', 'connection_refused'],
  ['EHOSTUNREACH', 'connection_refused'],
  ['EHOSTDOWN', 'connection_refused'],
  ['ENETUNREACH', 'connection_refused'],
  ['ENETDOWN', 'connection_refused'],
  ['EAFNOSUPPORT', 'connection_refused'],
  ['EACCES', 'connection_refused'],
  ['EPERM', 'connection_refused'],
  ['EINVAL', 'connection_refused'],
  // Where this machine has no address of that family; otherwise it has no port left: `shortage.ts`.
  ['EADDRNOTAVAIL', 'connection_refused'],
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

/** What OpenSSL says of a certificate or a handshake; anything else that it says is `tls_error`. */
const TLS_CODES = new Map<string, AttemptError>([
  ['CERT_HAS_EXPIRED', 'tls_certificate_expired'],
  ['CERT_NOT_YET_VALID', 'tls_certificate_not_yet_valid'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_certificate_wrong_name'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls_certificate_self_signed'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'tls_certificate_unknown_issuer'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'tls_certificate_unknown_issuer'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'tls_certificate_unknown_issuer'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls_certificate_unknown_issuer'],
  ['CERT_UNTRUSTED', 'tls_certificate_unknown_issuer'],
  ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'tls_version_too_old'],
  ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'tls_version_too_old'],
  // The first bytes of a response are no record of TLS.
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls_not_spoken'],
  ['ERR_SSL_PACKET_LENGTH_TOO_LONG', 'tls_not_spoken'],
  ['ERR_SSL_UNKNOWN_PROTOCOL', 'tls_not_spoken'],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'tls_client_certificate_required'],
  // Alerts about the certificate that this side has shown (RFC 8446, 6.2). OpenSSL has called the older ones by both names.
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'tls_client_certificate_refused'],
  ['ERR_SSL_TLSV1_ALERT_ACCESS_DENIED', 'tls_client_certificate_refused'],
  ...[
    'BAD_CERTIFICATE',
    'UNSUPPORTED_CERTIFICATE',
    'CERTIFICATE_REVOKED',
    'CERTIFICATE_EXPIRED',
    'CERTIFICATE_UNKNOWN',
  ].flatMap((alert): [string, AttemptError][] => [
    [`ERR_SSL_SSLV3_ALERT_${alert}`, 'tls_client_certificate_refused'],
    [`ERR_SSL_SSL/TLS_ALERT_${alert}`, 'tls_client_certificate_refused'],
  ]),
]);

/** The code for an error of the connection. What is not known is the receiver's doing too: `protocol_error`, never a crash. */
export function attemptErrorOf(error: unknown): AttemptError {
  const code = codeOf(error);
  // TLS 1.3 reports a refused handshake only after it is over, as an alert on the open connection.
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) return TLS_CODES.get(code) ?? 'tls_error';
  return CODES.get(code) ?? 'protocol_error';
}

/** The same for an error before the TLS handshake was over: what is no network failure is a certificate or cipher problem. */
export function handshakeErrorOf(error: unknown): AttemptError {
  const code = codeOf(error);
  return CODES.get(code) ?? TLS_CODES.get(code) ?? 'tls_error';
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
