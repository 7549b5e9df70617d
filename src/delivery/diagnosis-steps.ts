// What each step of a diagnosis says: from what was seen to a result, a sentence and an advice.
import type { AccessToken } from '../domain/access-token.ts';
import { adviceFor } from '../domain/attempt-advice.ts';
import { attemptErrorMessage, attemptErrors, outcomeMessage, type AttemptError, type Outcome } from '../domain/delivery.ts';
import { CERTIFICATE_WARNING_MS, type DiagnosedStep, type DiagnosisStep, type StepResult } from '../domain/diagnosis.ts';
import type { ServiceError } from '../domain/errors.ts';
import { parseHttpDate } from '../domain/http-date.ts';
import { responseOddities } from '../domain/response-oddity.ts';
import { DAY_MS } from '../domain/time-units.ts';
import type { DialReport, ProbeReport } from '../outbound/connection-probe.ts';
import type { Failure } from '../outbound/shortage.ts';
import { TOLERANCE_SECONDS } from '../security/signature.ts';

/** ms. A receiver that takes longer to respond has little left before deliveries of a busy hour time out. */
const SLOW_MS = 5000;
/** A clock that is this far off, in seconds, is worth a warning: a fifth of what a check of signatures allows. */
const CLOCK_WARNING_SECONDS = TOLERANCE_SECONDS / 5;
/** What of a text that a receiver chose is shown, in characters. */
const MAX_QUOTED_CHARACTERS = 200;
/** How receivers refuse a signature. */
const REFUSING = new Set([400, 401, 403]);

export function urlStep(refusal: ServiceError | null): DiagnosedStep {
  if (refusal === null) return step('url', 'ok', 'The service accepts the URL.', '', 0);
  return step('url', 'failed', `The URL ${refusal.violations[0]?.message ?? refusal.message}.`, 'Register another URL.', 0);
}

/** Of addresses that may not be reached it names none, and says of none which it is. */
export function resolveStep(url: URL, { failure, addresses, resolveMs }: ProbeReport): DiagnosedStep {
  if (failure !== null) return failed('resolve', errorOf(failure), resolveMs);
  const message = addresses.includes(hostOf(url))
    ? 'The host is an address, which webhooks may reach.'
    : `${url.hostname} stands for ${list(addresses)}, which webhooks may reach.`;
  return step('resolve', 'ok', message, '', resolveMs);
}

export function connectStep(url: URL, { dials, addresses }: ProbeReport): DiagnosedStep {
  const isConnected = (dialled: DialReport): boolean => dialled.failure === null || dialled.handshakeMs !== null;
  const connected = dials.filter(isConnected);
  const refused = dials.filter((dialled) => !isConnected(dialled));
  const durationMs = longest(dials.map(({ connectMs }) => connectMs));
  const [first] = refused;
  if (first === undefined && connected.length > 0) {
    const untried = addresses.length - dials.length;
    const note = untried === 0 ? '' : ` IPv6 was not tried: this machine has none.`;
    return step('connect', 'ok', `${list(connected.map(({ address }) => address))} can be reached.${note}`, '', durationMs);
  }
  if (first === undefined) {
    const advice = 'Give the name an IPv4 address as well.';
    return step('connect', 'failed', 'The name has IPv6 addresses alone, and this machine has no IPv6.', advice, durationMs);
  }
  const error = errorOf(first.failure);
  const unreached = `${list(refused.map(({ address }) => address))} cannot be reached. ${attemptErrors[error]}`;
  if (connected.length === 0) return step('connect', 'failed', unreached, connectAdvice(error), durationMs);
  // Two addresses of `localhost`, which no name server returns: most servers of one machine listen on one of them.
  const result = isLocalName(url) ? 'ok' : 'warning';
  const advice = 'Deliveries go by the address that answers. Mend the other, or take it out of DNS.';
  const reached = list(connected.map(({ address }) => address));
  return step('connect', result, `${reached} can be reached, ${unreached}`, result === 'ok' ? '' : advice, durationMs);
}

/** Null: no connection, so no handshake. */
export function tlsStep(url: URL, { dials, addresses }: ProbeReport, nowMs: number): DiagnosedStep | null {
  if (url.protocol !== 'https:') return hasWay({ dials }) ? plainStep(url, addresses) : null;
  const shaken = dials.filter(({ handshakeMs }) => handshakeMs !== null);
  if (shaken.length === 0) return null;
  const durationMs = longest(shaken.map(({ handshakeMs }) => handshakeMs ?? 0));
  const broken = shaken.find(({ failure }) => failure !== null);
  const whole = shaken.filter(({ tls }) => tls !== null);
  if (broken !== undefined) {
    const error = errorOf(broken.failure);
    const message = handshakeMessage(error);
    if (whole.length === 0) return step('tls', 'failed', message, handshakeAdvice(error), durationMs);
    return step('tls', 'warning', `At ${broken.address}: ${message}`, handshakeAdvice(error), durationMs);
  }
  const soonest = whole.toSorted((a, b) => (a.tls?.endsAtMs ?? 0) - (b.tls?.endsAtMs ?? 0))[0]?.tls;
  if (soonest === undefined || soonest === null) return null;
  const days = Math.floor((soonest.endsAtMs - nowMs) / DAY_MS);
  const until = new Date(soonest.endsAtMs).toISOString().slice(0, 10);
  const message = `${soonest.version}, with a certificate of ${quoted(soonest.issuer)} for ${quoted(soonest.names)} that ends in ${days} days, on ${until}.`;
  const endsSoon = soonest.endsAtMs - nowMs < CERTIFICATE_WARNING_MS;
  return step(
    'tls',
    endsSoon ? 'warning' : 'ok',
    message,
    endsSoon ? 'Renew the certificate of the receiver.' : '',
    durationMs,
  );
}

function plainStep(url: URL, addresses: readonly string[]): DiagnosedStep {
  const message = 'The URL is plain HTTP: nothing is encrypted.';
  // On this machine no other machine can read the requests.
  if (isLocalName(url) || addresses.every(isLoopback)) return step('tls', 'ok', message, '', 0);
  return step('tls', 'warning', message, 'Use https: every machine on the way can read and change what is sent.', 0);
}

/** With the answer of the token server; the token itself is shown nowhere. */
export function tokenStep(answer: AccessToken | Outcome, durationMs: number): DiagnosedStep {
  if (!('token' in answer))
    return step('token', 'failed', outcomeMessage(answer) ?? '', adviceFor(errorOf(answer.error), null), durationMs);
  const seconds = Math.round(answer.lifetimeMs / 1000);
  return step('token', 'ok', `The token server gave an access token that is good for ${seconds} s.`, '', durationMs);
}

/** Whether a delivery would get through. */
export function hasWay({ dials }: Pick<ProbeReport, 'dials'>): boolean {
  return dials.some(({ failure }) => failure === null);
}

export function pingStep(
  outcome: Outcome,
  head: string | null,
  { knowsSecret }: { readonly knowsSecret: boolean },
): DiagnosedStep {
  const { error, httpStatus, durationMs } = outcome;
  if (error !== null) {
    const message = attemptErrorMessage(error, httpStatus);
    if (!knowsSecret && REFUSING.has(httpStatus ?? 0)) {
      const advice = 'Check again once the webhook exists and the receiver has its secret.';
      return step('ping', 'warning', `${message} No webhook exists yet, so it cannot check the signature.`, advice, durationMs);
    }
    const location = error === 'redirect_not_followed' && head !== null ? headerOf(head, 'location') : null;
    const leadsTo = location === null ? '' : ` It leads to ${quoted(location)}.`;
    return step('ping', 'failed', message + leadsTo, adviceFor(error, httpStatus), durationMs);
  }
  const answered = `The receiver answered ${httpStatus} to a signed ping.`;
  const complaint = complaintAbout(outcome);
  if (complaint === null) return step('ping', 'ok', answered, '', durationMs);
  return step('ping', 'warning', `${answered} ${complaint.message}`, complaint.advice, durationMs);
}

function complaintAbout({ durationMs, responseOddity, responseTruncated }: Outcome) {
  if (durationMs >= SLOW_MS) return { message: 'That is slow.', advice: 'Answer 2xx first and do the work afterwards.' };
  if (responseOddity !== null) {
    const advice = 'Deliveries get through, each over a connection of its own. Mend what writes the response.';
    return { message: responseOddities[responseOddity], advice };
  }
  if (responseTruncated)
    return { message: 'Its body was not read to the end.', advice: 'Answer with a short body, or with none.' };
  return null;
}

/** By the `Date` of the response. A clock alone fails no delivery: a receiver that refuses the signature for it has failed the ping. */
export function clockStep({ startedAtMs, durationMs }: Outcome, head: string): DiagnosedStep {
  const answeredAtMs = startedAtMs + durationMs;
  const date = headerOf(head, 'date');
  const dateMs = date === null ? null : parseHttpDate(date, answeredAtMs);
  if (dateMs === null) return step('clock', 'ok', 'The response has no Date, so the clocks cannot be compared.', '', 0);
  const seconds = Math.round((dateMs - answeredAtMs) / 1000);
  if (Math.abs(seconds) < CLOCK_WARNING_SECONDS) return step('clock', 'ok', 'The clock of the receiver is right.', '', 0);
  const direction = seconds > 0 ? 'ahead of' : 'behind';
  const message = `The clock of the receiver is ${Math.abs(seconds)} s ${direction} ours.`;
  const advice = `Set it by NTP: signatures are good for ${TOLERANCE_SECONDS} s, so a receiver whose clock is further off refuses all.`;
  return step('clock', 'warning', message, advice, 0);
}

function step(name: DiagnosisStep, result: StepResult, message: string, advice: string, durationMs: number): DiagnosedStep {
  return { step: name, result, message, advice, durationMs: Math.round(durationMs) };
}

function failed(name: DiagnosisStep, error: AttemptError, durationMs: number): DiagnosedStep {
  return step(name, 'failed', attemptErrors[error], adviceFor(error, null), durationMs);
}

/** A shortage of ours was refused before. */
function errorOf(failure: Failure | null): AttemptError {
  return typeof failure === 'string' ? failure : 'internal_error';
}

function connectAdvice(error: AttemptError): string {
  return error === 'timeout'
    ? 'Nothing answers there: check the address and the port, and that the firewall lets connections in.'
    : adviceFor(error, null);
}

function handshakeMessage(error: AttemptError): string {
  if (error === 'timeout') return 'The receiver said nothing in the TLS handshake for five seconds.';
  if (error === 'connection_reset') return 'The connection was cut off in the TLS handshake.';
  return attemptErrors[error];
}

function handshakeAdvice(error: AttemptError): string {
  if (error === 'timeout' || error === 'connection_reset')
    return 'Check that the port speaks TLS, and what stands between: a firewall, or a proxy that does not know the host name.';
  return adviceFor(error, null);
}

/** The first value of a header in the head of a response, in one line as short as people read; null: there is none. */
function headerOf(head: string, name: string): string | null {
  const line = head.split('\n').find((text) => text.slice(0, name.length + 1).toLowerCase() === `${name}:`);
  return line === undefined ? null : line.slice(name.length + 1).trim();
}

/** What a stranger wrote, shortened and without what a terminal or a log would obey. */
function quoted(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}]/gu, ' ').slice(0, MAX_QUOTED_CHARACTERS);
}

function list(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? '') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}

function longest(durationsMs: readonly number[]): number {
  return Math.max(0, ...durationsMs);
}

function hostOf(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
}

function isLocalName({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname.endsWith('.localhost');
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}
