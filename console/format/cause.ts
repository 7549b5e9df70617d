// What went wrong with an attempt, in words; the codes are the service's stable ones.
import { adviceFor } from '../../src/domain/attempt-advice.ts';
import { attemptErrors, type AttemptError } from '../../src/domain/delivery.ts';

const CAUSES: Record<string, string> = {
  dns_error: 'Host name not resolved',
  connection_refused: 'Connection refused',
  connection_reset: 'Connection closed too early',
  timeout: 'No answer in time',
  tls_certificate_expired: 'Certificate expired',
  tls_certificate_not_yet_valid: 'Certificate not valid yet',
  tls_certificate_wrong_name: 'Certificate for another host',
  tls_certificate_self_signed: 'Certificate signed by itself',
  tls_certificate_unknown_issuer: 'Certificate issuer unknown',
  tls_version_too_old: 'TLS version too old',
  tls_not_spoken: 'Receiver does not speak TLS',
  tls_client_certificate_required: 'Client certificate asked for',
  tls_client_certificate_refused: 'Client certificate refused',
  tls_error: 'TLS connection not trusted',
  oauth_token_refused: 'Access token refused',
  oauth_token_unavailable: 'Access token not available',
  protocol_error: 'Answer was not HTTP',
  response_headers_too_large: 'Answer without a status',
  redirect_not_followed: 'Answered with a redirect',
  http_status: 'Answered with an error status',
  ssrf_blocked: 'Address not allowed',
  decrypt_failed: 'Signing secret unreadable',
  url_invalid: 'Stored URL not valid',
  payload_unreadable: 'Stored event unreadable',
  internal_error: 'The service failed',
  lease_expired: 'Interrupted before the outcome was known',
  shutdown: 'Service was stopping',
};

export interface Cause {
  /** Equal for attempts that failed the same way. */
  readonly key: string;
  readonly label: string;
  readonly advice: string;
}

export function causeOf(outcome: { errorCode?: string | undefined; httpStatus?: number | undefined }): Cause {
  const code = outcome.errorCode ?? '';
  if (code === 'http_status' && outcome.httpStatus !== undefined) {
    return {
      key: `http_${outcome.httpStatus}`,
      label: `Answered ${outcome.httpStatus}`,
      advice: adviceFor('http_status', outcome.httpStatus),
    };
  }
  return { key: code, label: CAUSES[code] ?? code, advice: isKnown(code) ? adviceFor(code, null) : '' };
}

/** By its key, as an overview names it. */
export function causeOfKey(key: string): Cause {
  const status = /^http_(\d+)$/.exec(key)?.[1];
  return causeOf(status === undefined ? { errorCode: key } : { errorCode: 'http_status', httpStatus: Number(status) });
}

function isKnown(code: string): code is AttemptError {
  return Object.hasOwn(attemptErrors, code);
}
