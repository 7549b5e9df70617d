// The only way out: one POST to a receiver, under one deadline, and what came of it.
import { BoundedMap } from '../bounded-map.ts';
import {
  type AttemptError,
  errorOfStatus,
  type NotBegun,
  type Outcome,
  type Shortage,
  type Transcript,
} from '../domain/delivery.ts';
import { ServiceError } from '../domain/errors.ts';
import type { ResponseOddity } from '../domain/response-oddity.ts';
import { parseRetryAfter } from '../domain/retry-policy.ts';
import { SharedInterval } from '../lifecycle/shared-interval.ts';
import type { EgressPolicy } from '../security/egress-policy.ts';
import type { HeadVerdict } from './response-reader.ts';
import { type ClientIdentity, IdentityContexts, secureContext } from './client-identity.ts';
import type { Connection, Message, ResponseHandler } from './connection.ts';
import { ConnectionPool, MAX_AGE_MS, type Opener, type Origin } from './connection-pool.ts';
import type { ProbeReport } from './connection-probe.ts';
import type { HeaderLines } from './header-lines.ts';
import { NameResolver } from './name-resolver.ts';
import type { Failure } from './shortage.ts';
import { transcriptOf } from './transcript.ts';

/** What of a response is read at most: enough for any acknowledgement, and then the socket is closed. */
const MAX_READ_BYTES = 65_536;
/** What of it is kept, for the owner to see. */
const MAX_KEPT_BYTES = 16_384;
/** The outcome stands with the status line; headers and body get this much longer. */
const BODY_TIMEOUT_MS = 1000;
/**
 * Responses such as `102 Processing` that are read before the real one: one every 30 ms for the default timeout. A flood of them
 * waits unread for the deadline.
 */
const MAX_INFORMATIONAL = 1000;
/** Sockets open at once, idle ones included, where the descriptors of the process allow it. */
export const MAX_SOCKETS = 1000;
/** What of them may carry deliveries at a time: the rest is for tests, for idle connections, and for racing the addresses of a name. */
export const DELIVERY_SHARE = 5 / 8;
/** How long a request waits for a place among the sockets, in milliseconds: as long as a short burst lasts, and no longer than another process may want it. */
const PLACE_WAIT_MS = 1000;
/** ms. How long a shortage is reported after it was last noticed: longer than probes and scrapers usually wait. */
const SHORTAGE_MEMORY_MS = 30_000;
/** How often requests are looked at for one whose time is over: a timer for each would cost two calls and its memory. */
const DEADLINE_CHECK_MS = 25;
/** URLs whose parsed form is kept; parsing and checking one costs more than sending to it. */
const MAX_KNOWN_URLS = 10_000;

export interface PostRequest {
  /** As stored: the form that the egress policy returned. */
  readonly url: string;
  /** Sent as they are, beside `Host`, `Connection` and `Content-Length`; null: one of them may not be sent, and nothing is. */
  readonly headers: HeaderLines | null;
  readonly body: Buffer;
  /** For everything: resolving, connecting, sending and reading, but not for waiting for a place. It ends up to DEADLINE_CHECK_MS later. */
  readonly timeoutMs: number;
  /** Whose request it is: where places are short, tenants are served in turn. */
  readonly tenant?: string;
  /** The webhook that it is for, which `onCertificate` gets. */
  readonly webhookId?: string;
  /** What is shown to a receiver that asks for a client certificate; absent: nothing. */
  readonly identity?: ClientIdentity | null;
  /** On `performance.now()`: when its time would not suffice any more. A request that has no place by then does not begin. */
  readonly beginBy?: number;
  /** Ends the attempt as `shutdown`. */
  readonly signal?: AbortSignal;
  /** Whether the outcome has a transcript though the receiver answered 2xx. A failure always has one. */
  readonly hasTranscript?: boolean;
  /** Gets the whole head of the response, when one has come. */
  readonly onHead?: (text: string) => void;
}

export interface HttpClientOptions {
  readonly policy: EgressPolicy;
  readonly resolver?: NameResolver;
  /** MAX_SOCKETS unless the descriptors of the process suffice for more, or for fewer. */
  readonly maxSockets?: number;
  /** How long a connection is used; MAX_AGE_MS except in tests. */
  readonly maxAgeMs?: number;
  /** Milliseconds since 1970, for the log of attempts and for dates in Retry-After; this machine's clock unless given. */
  readonly now?: () => number;
  /** Certificates trusted instead of the usual ones, in PEM. */
  readonly trustedCertificates?: readonly string[];
  /** Called when a connection with TLS was made for a webhook: when the certificate ends, in milliseconds since 1970. */
  readonly onCertificate?: (webhookId: string, endsAtMs: number) => void;
  /** Called whenever a request has to wait, or cannot begin, for want of something of this machine's. */
  readonly onShortage?: (shortage: Shortage) => void;
}

interface Target extends Origin {
  /** Request line, `Host` and `Connection`. */
  readonly opening: string;
}

/**
 * Follows no redirect, decompresses nothing, keeps no cookies, and knows no proxy. How many requests go to one webhook at a time is
 * the dispatcher's to limit; connections are shared by all webhooks of an origin, so that none can keep them from the others.
 *
 * Measured 2026-11-27 by bench/http-client.ts, Node 26 on two shared cores, the receiver in another process, three rounds: with 64 in flight
 * 19 to 20 µs of processor time a POST beside 20 to 30 for bare undici dispatch in the same run; with 512, as the engine has, 19 to 26
 * beside 34 to 40, and 42,000 to 55,000 POST/s beside 26,000 to 31,000.
 */
export class HttpClient {
  readonly #policy: EgressPolicy;
  readonly #pool: ConnectionPool;
  readonly #targets = new BoundedMap<string, Target>(MAX_KNOWN_URLS);
  readonly #identities: IdentityContexts;
  readonly #running = new Set<Exchange>();
  readonly #signals = new WeakSet<AbortSignal>();
  readonly #checking = new SharedInterval(DEADLINE_CHECK_MS, () => this.#checkDeadlines());
  readonly #now: () => number;
  readonly #onCertificate: HttpClientOptions['onCertificate'];
  #shortAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: HttpClientOptions) {
    this.#now = options.now ?? Date.now;
    const ca = options.trustedCertificates;
    this.#policy = options.policy;
    this.#identities = new IdentityContexts(ca);
    this.#onCertificate = options.onCertificate;
    this.#pool = new ConnectionPool({
      policy: options.policy,
      resolver: options.resolver ?? new NameResolver(),
      secureContext: secureContext(ca),
      maxSockets: options.maxSockets ?? MAX_SOCKETS,
      maxAgeMs: options.maxAgeMs ?? MAX_AGE_MS,
      onShortage: (shortage) => {
        this.#shortAt = performance.now();
        options.onShortage?.(shortage);
      },
    });
  }

  /** Sockets open or being opened. */
  get sockets(): number {
    return this.#pool.sockets;
  }

  /** Requests in flight. */
  get inFlight(): number {
    return this.#running.size;
  }

  /** Requests that wait for a socket. */
  get waiting(): number {
    return this.#pool.waiting;
  }

  /** Whether something of this machine's ran short lately. */
  get isShort(): boolean {
    return performance.now() - this.#shortAt < SHORTAGE_MEMORY_MS;
  }

  /** Sends one request. Never rejects: whatever goes wrong is an outcome, except for what could not begin for want of something of ours. */
  post(request: PostRequest): Promise<Outcome | NotBegun> {
    return new Promise((resolve) => {
      const { signal, headers } = request;
      const exchange = new Exchange(request, this.#pool, this.#running, this.#now, resolve, this.#onCertificate);
      if (signal?.aborted || this.#isClosed) return exchange.fail('shutdown');
      if (signal !== undefined && !this.#signals.has(signal)) this.#watch(signal);
      const target = this.#targets.get(request.url) ?? this.#resolveTarget(request.url);
      if (typeof target === 'string') exchange.fail(target);
      else if (headers === null) exchange.fail('protocol_error');
      else exchange.start(this.#identified(target, request.identity), messageOf(target, headers, request.body));
      this.#checking.begin();
    });
  }

  /**
   * Looks at the way to the receiver of a URL without sending it anything: name, addresses, connections, TLS. As for every request, what
   * the policy forbids is not dialled.
   */
  probe(url: string, identity: ClientIdentity | null = null): Promise<ProbeReport> {
    const target = this.#targets.get(url) ?? this.#resolveTarget(url);
    if (typeof target === 'string') return Promise.resolve({ resolveMs: 0, addresses: [], failure: target, dials: [] });
    return this.#pool.probe(this.#identified(target, identity));
  }

  // Connections that showed one certificate are no one else's.
  #identified(target: Target, identity: ClientIdentity | null | undefined): Target {
    if (identity == null || !target.to.secure) return target;
    return { ...target, origin: `${target.origin} ${identity.id}`, secureContext: this.#identities.of(identity) };
  }

  /** Ends what is in flight as `shutdown`, closes every connection, and sends nothing more. */
  close(): void {
    this.#isClosed = true;
    this.#pool.close();
    this.#shutDown(() => true);
  }

  #checkDeadlines(): boolean {
    const now = performance.now();
    for (const exchange of this.#running) if (exchange.endsAt <= now) exchange.fail('timeout');
    return this.#running.size > 0;
  }

  // One listener for each signal, not for each request: thousands of requests share the one that stops the process.
  #watch(signal: AbortSignal): void {
    this.#signals.add(signal);
    signal.addEventListener(
      'abort',
      () => {
        this.#shutDown((exchange) => exchange.signal === signal);
      },
      { once: true },
    );
  }

  // What waits goes first, or it would get the places of the others and begin.
  #shutDown(isMeant: (exchange: Exchange) => boolean): void {
    const meant = [...this.#running].filter(isMeant);
    for (const exchange of meant) if (exchange.isWaiting) exchange.fail('shutdown');
    for (const exchange of meant) exchange.fail('shutdown');
  }

  // The static check again: the policy may be stricter today than when the URL was stored.
  #resolveTarget(text: string): Target | AttemptError {
    let url: URL;
    try {
      url = new URL(this.#policy.checkUrl(text));
    } catch (error) {
      return error instanceof ServiceError && error.reason === 'endpoint_url_forbidden' ? 'ssrf_blocked' : 'url_invalid';
    }
    const secure = url.protocol === 'https:';
    const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
    const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
    const opening = `POST ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\n`;
    const target = { origin: url.origin, to: { secure, host, port }, opening };
    this.#targets.set(text, target);
    return target;
  }
}

/** One request on its way. */
class Exchange implements ResponseHandler, Opener {
  readonly signal: AbortSignal | undefined;
  readonly tenant: string;
  readonly #onHead: ((text: string) => void) | undefined;
  readonly #webhookId: string | undefined;
  readonly #onCertificate: HttpClientOptions['onCertificate'];
  readonly #pool: ConnectionPool;
  readonly #running: Set<Exchange>;
  readonly #resolve: (outcome: Outcome | NotBegun) => void;
  readonly #now: () => number;
  readonly #timeoutMs: number;
  readonly #beginBy: number;
  #startedAtMs: number;
  #startedAt = performance.now();
  /** On `performance.now()`. */
  endsAt: number;
  #target: Target | null = null;
  /** Its bytes, and nothing that they were made of: what is in flight is what the garbage collector has to carry along. */
  #message: Message | null = null;
  #giveUpOpening: (() => void) | null = null;
  /** What it waits for, which nothing was dialled without. */
  #waitsFor: Shortage | null = null;
  #connection: Connection | null = null;
  readonly #hasTranscript: boolean;
  /** What was dialled last. */
  #address: string | null = null;
  /** The head of the response: the text that the reader keeps, until the exchange is over. */
  #headText: string | null = null;
  #retried = false;
  #informational = 0;
  #status: number | null = null;
  #oddity: ResponseOddity | null = null;
  #retryAfterMs: number | null = null;
  #isBodyTimed = false;
  #chunks: Buffer[] | null = null;
  #keptBytes = 0;
  #readBytes = 0;
  #over = false;

  constructor(
    request: PostRequest,
    pool: ConnectionPool,
    running: Set<Exchange>,
    now: () => number,
    resolve: (outcome: Outcome | NotBegun) => void,
    onCertificate: HttpClientOptions['onCertificate'],
  ) {
    this.#now = now;
    this.#startedAtMs = now();
    this.signal = request.signal;
    this.tenant = request.tenant ?? '';
    this.#onHead = request.onHead;
    this.#hasTranscript = request.hasTranscript === true;
    this.#webhookId = request.webhookId;
    this.#onCertificate = onCertificate;
    this.#timeoutMs = request.timeoutMs;
    this.endsAt = this.#startedAt + request.timeoutMs;
    this.#beginBy = Math.min(this.#startedAt + PLACE_WAIT_MS, request.beginBy ?? Number.POSITIVE_INFINITY);
    this.#pool = pool;
    this.#running = running;
    this.#resolve = resolve;
  }

  start(target: Target, message: Message): void {
    this.#target = target;
    this.#message = message;
    this.#running.add(this);
    const idle = this.#pool.take(target);
    if (idle === null) this.#open(target);
    else this.#send(idle);
  }

  get isWaiting(): boolean {
    return this.#waitsFor !== null;
  }

  /** Ends the exchange: with the outcome that the status line decided, if it came, else with this error. */
  fail(error: AttemptError): void {
    if (this.#over) return;
    this.#giveUpOpening?.();
    this.#connection?.destroy();
    this.#finish(this.#waitsFor === null ? error : { shortage: this.#waitsFor }, false);
  }

  #open(target: Target): void {
    this.#giveUpOpening = this.#pool.open(target, this);
  }

  onWait(shortage: Shortage): void {
    this.#waitsFor = shortage;
    this.endsAt = this.#beginBy;
  }

  // Its time begins here: a wait for a socket of ours is none of the receiver's.
  onPlace(): void {
    this.#waitsFor = null;
    this.#startedAtMs = this.#now();
    this.#startedAt = performance.now();
    this.endsAt = this.#startedAt + this.#timeoutMs;
  }

  onDial(address: string): void {
    this.#address = address;
  }

  onOpened(connection: Connection): void {
    this.#giveUpOpening = null;
    const { certificateEndsAtMs } = connection;
    if (certificateEndsAtMs !== null && this.#webhookId !== undefined)
      this.#onCertificate?.(this.#webhookId, certificateEndsAtMs);
    this.#send(connection);
  }

  onFailed(failure: Failure): void {
    this.#giveUpOpening = null;
    this.#finish(failure, false);
  }

  #send(connection: Connection): void {
    this.#connection = connection;
    if (this.#message !== null) connection.send(this.#message, this);
  }

  onInformational(): void {
    this.#informational += 1;
    if (this.#informational === MAX_INFORMATIONAL) this.#connection?.stopReading();
  }

  onStatus(status: number): void {
    this.#status = status;
  }

  onOddity(oddity: ResponseOddity): void {
    this.#oddity = oddity;
  }

  onHead({ status, retryAfter }: HeadVerdict, text: string): void {
    this.#status = status;
    this.#headText = text;
    this.#onHead?.(text);
    if (status === 429 || status === 503) this.#retryAfterMs = parseRetryAfter(retryAfter, this.#now());
  }

  onBody(bytes: Buffer): void {
    this.#readBytes += bytes.length;
    const room = MAX_KEPT_BYTES - this.#keptBytes;
    if (room > 0) {
      // A copy: these bytes are overwritten by what comes next.
      const kept = Buffer.allocUnsafe(Math.min(room, bytes.length));
      bytes.copy(kept);
      this.#keptBytes += kept.length;
      (this.#chunks ??= []).push(kept);
    }
    if (this.#readBytes > MAX_READ_BYTES) this.fail('protocol_error');
  }

  onMore(): void {
    if (this.#status === null || this.#isBodyTimed) return;
    this.#isBodyTimed = true;
    this.endsAt = Math.min(this.endsAt, performance.now() + BODY_TIMEOUT_MS);
  }

  onComplete(): void {
    this.#finish('protocol_error', true);
  }

  onBroken(failure: Failure, isSilent: boolean): void {
    if (this.#over) return;
    // A connection kept open may have been closed by the other side just now, before it saw the request: that is no failure.
    // Once only, and only when not a byte of a response came.
    if (failure === 'connection_reset' && isSilent && this.#connection?.reused && !this.#retried && this.#target !== null) {
      this.#retried = true;
      this.#connection = null;
      return this.#open(this.#target);
    }
    this.#finish(failure, false);
  }

  #finish(failure: Failure, complete: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#running.delete(this);
    const hasStatus = this.#status !== null;
    const error = this.#status === null ? failure : errorOfStatus(this.#status);
    if (typeof error === 'object' && error !== null) return this.#resolve(error);
    const truncated = hasStatus && (!complete || this.#readBytes > this.#keptBytes);
    if (hasStatus && this.#headText === null) this.#oddity ??= 'headers_incomplete';
    this.#resolve({
      startedAtMs: this.#startedAtMs,
      durationMs: Math.round(performance.now() - this.#startedAt),
      httpStatus: this.#status,
      response: hasStatus ? textOf(this.#chunks ?? [], truncated) : null,
      responseTruncated: truncated,
      responseOddity: this.#oddity,
      error,
      retryAfterMs: this.#retryAfterMs,
      transcript: error === null && !this.#hasTranscript ? null : this.#transcript(error),
    });
  }

  #transcript(error: AttemptError | null): Transcript | null {
    if (this.#target === null) return null;
    const connection = this.#connection;
    return transcriptOf({
      to: this.#target.to,
      message: connection === null ? null : this.#message,
      responseHead: this.#headText,
      address: error === 'ssrf_blocked' ? null : (connection?.address ?? this.#address),
      tlsVersion: connection?.tlsVersion ?? null,
    });
  }
}

/** Bodies up to this are copied behind their head, so that a request is one write; larger ones are written as they are. */
const MAX_COPIED_BYTES = 16_384;

function messageOf(target: Target, headers: HeaderLines, body: Buffer): Message {
  const head = `${target.opening}${headers}content-length: ${body.length}\r\n\r\n`;
  if (body.length > MAX_COPIED_BYTES) return [Buffer.from(head, 'latin1'), body];
  const message = Buffer.allocUnsafe(head.length + body.length);
  message.write(head, 'latin1');
  body.copy(message, head.length);
  return [message];
}

/** What is not UTF-8 becomes U+FFFD, and NUL is left out: PostgreSQL's text cannot hold it. */
function textOf(chunks: readonly Buffer[], cut: boolean): string {
  const [first] = chunks;
  if (first === undefined) return '';
  const bytes = chunks.length === 1 ? first : Buffer.concat(chunks);
  // A character that was cut in two is left out rather than shown as damaged.
  const text = cut ? new TextDecoder().decode(bytes, { stream: true }) : bytes.toString();
  return text.includes('\0') ? text.replaceAll('\0', '') : text;
}
