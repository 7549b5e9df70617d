// What went wrong with an attempt, in words; the codes are the service's stable ones.
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
  tls_error: 'TLS connection not trusted',
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

const ADVICE: Record<string, string> = {
  dns_error: 'Check the host name in the URL and its DNS records.',
  connection_refused: 'Nothing listens at that address and port, or a firewall refuses it.',
  connection_reset: 'The receiver or a proxy before it hung up. Check its logs at that time.',
  timeout: 'Answer 2xx first and do the work afterwards, or raise the timeout of this webhook.',
  tls_certificate_expired: 'Renew the certificate of the receiver.',
  tls_certificate_not_yet_valid: 'Check the dates of the certificate, and the clock it was made by.',
  tls_certificate_wrong_name: 'Use a certificate that names exactly the host in the URL.',
  tls_certificate_self_signed: 'Use a certificate of a public authority.',
  tls_certificate_unknown_issuer: 'Let the receiver send its whole chain of certificates, up to a public authority.',
  tls_version_too_old: 'Switch on TLS 1.2 or later at the receiver.',
  tls_not_spoken: 'Check the port: what listens there may be plain HTTP.',
  tls_client_certificate_required: 'Switch off client certificates for this URL; the signature says who sends.',
  tls_error: 'Check that the certificate is current, complete with its chain, and made for this host.',
  protocol_error: 'Something that is not an HTTP server may be listening there.',
  response_headers_too_large: 'The answer must begin with a status line.',
  redirect_not_followed: 'Register the URL that the redirect leads to.',
  ssrf_blocked: 'The name resolves to a private address. Webhooks reach public addresses only.',
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
      advice: statusAdvice(outcome.httpStatus),
    };
  }
  return { key: code, label: CAUSES[code] ?? code, advice: ADVICE[code] ?? '' };
}

/** By its key, as an overview names it. */
export function causeOfKey(key: string): Cause {
  const status = /^http_(\d+)$/.exec(key)?.[1];
  return causeOf(status === undefined ? { errorCode: key } : { errorCode: 'http_status', httpStatus: Number(status) });
}

function statusAdvice(status: number): string {
  if (status === 401 || status === 403)
    return 'The receiver refuses the request. Check its signature check and its access rules.';
  if (status === 404 || status === 405)
    return 'The path or the method is not served. Webhooks are POSTed to exactly the registered URL.';
  if (status === 410) return 'The receiver said it is gone for good, which disables the webhook.';
  if (status === 413) return 'The receiver refuses bodies of this size.';
  if (status === 429) return 'The receiver asks for fewer requests. Set a rate limit on this webhook.';
  if (status >= 500) return 'The receiver failed while handling the event. Its own logs say why.';
  return 'Any answer other than 2xx counts as failed.';
}
