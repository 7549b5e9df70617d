// What the owner of a receiver can do about an attempt that went wrong. The diagnosis and the console give the same advice.
import type { AttemptError } from './delivery.ts';

const OURS = 'Nothing is wrong with the receiver. Write to the operators of this service.';

const advice: Readonly<Record<Exclude<AttemptError, 'http_status'>, string>> = {
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
  tls_client_certificate_required: 'Give this webhook a client certificate that the receiver trusts.',
  tls_client_certificate_refused:
    'Give this webhook a certificate of an authority that the receiver trusts, and let the receiver say why it refused this one.',
  tls_error: 'Check that the certificate is current, complete with its chain, and made for this host.',
  oauth_token_refused:
    'Check token URL, client id, client secret, scope and audience of this webhook. The token server decides by them.',
  oauth_token_unavailable:
    'Check the token URL of this webhook, and that the token server can be reached and answers with a bearer token.',
  protocol_error: 'Something that is not an HTTP server may be listening there.',
  response_headers_too_large: 'The answer must begin with a status line.',
  redirect_not_followed: 'Register the URL that the redirect leads to.',
  ssrf_blocked: 'The name resolves to a private address. Webhooks reach public addresses only.',
  decrypt_failed: OURS,
  url_invalid: 'Change the URL of the webhook.',
  payload_unreadable: OURS,
  internal_error: OURS,
  lease_expired: 'Nothing: the attempt is made again.',
  shutdown: 'Nothing: the attempt is made again.',
};

/** What to do about it; the status counts for `http_status` alone. */
export function adviceFor(error: AttemptError, httpStatus: number | null): string {
  return error === 'http_status' ? statusAdvice(httpStatus ?? 0) : advice[error];
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
