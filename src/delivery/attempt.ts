// One attempt: the body and headers of one delivery, signed and sent, and its outcome.
import { deliveryBody } from '../domain/body.ts';
import { hasBegun, type AttemptError, type NotBegun, type Outcome } from '../domain/delivery.ts';
import { sign, type SigningKey, type ToSign } from '../security/signature.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import { HeaderForm, headerLines, joinLines, type HeaderLines } from '../outbound/header-lines.ts';
import type { HttpClient } from '../outbound/http-client.ts';
import type { AccessTokens } from './access-tokens.ts';
import { MaskedPayloads } from './masked-payloads.ts';
import type { OAuthClient } from './oauth-client.ts';
import type { Task } from './task.ts';
import type { Target } from './webhook-directory.ts';

/** ms. Time beyond the timeout that must be left of a lease when an attempt begins, so that its outcome can be recorded. */
export const LEASE_MARGIN_MS = 1000;
/** What a receiver answers to an access token that it does not take, or takes no longer. */
const UNAUTHORIZED = 401;

export interface AttemptOptions {
  readonly client: HttpClient;
  /** Of webhooks whose receivers ask for one. */
  readonly tokens: Pick<AccessTokens, 'get' | 'drop'>;
  readonly signatureHeader: string;
  /** `HomeChef-Webhooks/<version>`. */
  readonly userAgent: string;
  /** No attempt may outlast its lease, in milliseconds. */
  readonly maxTimeoutMs: number;
  /** Aborts what is in flight when the grace of a shutdown is over. */
  readonly signal: AbortSignal;
  /** Milliseconds since 1970, corrected towards the database's clock: receivers refuse a signature that is five minutes off. */
  readonly now: () => number;
  readonly tracing: Tracing;
}

/** The outcome of an attempt and its trace, or why there was no attempt. */
export interface Attempted {
  readonly outcome: Outcome | NotBegun;
  readonly traceId: string;
}

/** What is the same for the request, whatever it carries. */
interface Sending {
  readonly attemptNumber: number;
  readonly traceparent: string;
  readonly onHead: ((text: string) => void) | undefined;
  readonly timeoutMs: number;
  /** The line with the access token; null: the receiver asks for none. */
  readonly authorization: HeaderLines | null;
}

export type AttemptParts = Pick<
  Task,
  'deliveryId' | 'webhookId' | 'eventType' | 'data' | 'schemaVersion' | 'occurredAtMs' | 'traceparent'
> &
  Partial<Pick<Task, 'lease' | 'ordering' | 'trigger'>>;

/**
 * Sends one delivery. Never rejects: each failure is an outcome. Only an attempt that this process could not begin has none.
 * @param onHead gets the whole head of the response
 */
export type Attempt = (
  target: Target,
  parts: AttemptParts,
  attemptNumber: number,
  onHead?: (text: string) => void,
) => Promise<Attempted>;

export function createAttempt(options: AttemptOptions): Attempt {
  const compose = createComposer(options);

  function send(
    target: Target,
    parts: AttemptParts,
    attemptNumber: number,
    traceparent: string,
    onHead: ((text: string) => void) | undefined,
  ): Promise<Outcome | NotBegun> | Outcome {
    if (target.fault !== null) return failed(target.fault, options.now());
    const { data } = parts;
    if (data === null) return failed('payload_unreadable', options.now());
    const timeoutMs = Math.min(target.policy.timeoutMs, options.maxTimeoutMs);
    const sending = { attemptNumber, traceparent, onHead, timeoutMs, authorization: null };
    return target.oauth == null
      ? post(target, parts, data, sending)
      : postWithToken(target, target.oauth, parts, data, sending);
  }

  // One deadline for both: a lease that suffices for the one suffices for the other.
  async function postWithToken(
    target: Target,
    oauth: OAuthClient,
    parts: AttemptParts,
    data: string,
    sending: Sending,
  ): Promise<Outcome | NotBegun> {
    const { id: webhookId, userId: tenant } = target;
    const { timeoutMs } = sending;
    const startedAt = performance.now();
    const token = await options.tokens.get({ webhookId, tenant, oauth, timeoutMs });
    if (typeof token !== 'string') return token;
    const leftMs = timeoutMs - (performance.now() - startedAt);
    if (leftMs <= 0) return failed('oauth_token_unavailable', options.now());
    const authorization = headerLines({ authorization: `Bearer ${token}` });
    const outcome = await post(target, parts, data, { ...sending, timeoutMs: leftMs, authorization });
    if (hasBegun(outcome) && outcome.httpStatus === UNAUTHORIZED) options.tokens.drop(webhookId, token);
    return outcome;
  }

  function post(
    target: Target,
    parts: AttemptParts,
    data: string,
    { attemptNumber, traceparent, onHead, timeoutMs, authorization }: Sending,
  ): Promise<Outcome | NotBegun> {
    const { body, headers: lines } = compose(target, parts, data, attemptNumber, traceparent);
    const headers = lines === null || authorization === null ? lines : joinLines(lines, authorization);
    const { id: webhookId, url, userId: tenant } = target;
    const beginBy = parts.lease === undefined ? Number.POSITIVE_INFINITY : parts.lease.expiresAt - timeoutMs - LEASE_MARGIN_MS;
    const observed = onHead === undefined ? {} : { onHead };
    // A first try that succeeds has no row of its own, which could keep its transcript.
    const hasTranscript = attemptNumber > 1 || (parts.trigger ?? 'automatic') !== 'automatic';
    return options.client.post({
      url,
      headers,
      body,
      timeoutMs,
      tenant,
      webhookId,
      beginBy,
      ...(target.identity == null ? {} : { identity: target.identity }),
      signal: options.signal,
      hasTranscript,
      ...observed,
    });
  }

  return async (target, parts, attemptNumber, onHead) => {
    const traced = options.tracing.attempt(parts.traceparent);
    let outcome: Outcome | NotBegun;
    try {
      outcome = await send(target, parts, attemptNumber, traced.traceparent, onHead);
    } catch {
      // A body that throws here would throw each time. As an outcome it uses up the delivery's retries, and ends.
      outcome = failed('internal_error', options.now());
    }
    traced.end(hasBegun(outcome) ? outcome.error : outcome.shortage);
    return { outcome, traceId: traced.traceId };
  };
}

/** Body and headers of requests. What is the same for each request of a webhook is put together once. */
function createComposer(options: AttemptOptions) {
  const ours = [
    options.signatureHeader,
    'webhook-id',
    'webhook-timestamp',
    'webhook-signature',
    'x-homechef-event',
    'x-homechef-delivery',
    'x-homechef-attempt',
    'traceparent',
  ];
  /** Of a type with a schema. */
  const oursOfSchema = [...ours, 'x-homechef-schema-version'];
  const oursInOrder = ['x-homechef-ordering-key', 'x-homechef-sequence'];
  const taken = new Set([...oursOfSchema, ...oursInOrder].map((name) => name.toLowerCase()));
  const form = new HeaderForm(ours);
  const formOfSchema = new HeaderForm(oursOfSchema);
  /** Of an event with an ordering key. */
  const formInOrder = new HeaderForm([...ours, ...oursInOrder]);
  const formOfSchemaInOrder = new HeaderForm([...oursOfSchema, ...oursInOrder]);
  const masked = new MaskedPayloads();
  const fixedLines = new WeakMap<Target, HeaderLines | null>();

  function fixedLinesOf(target: Target): HeaderLines | null {
    let lines = fixedLines.get(target);
    if (lines === undefined) {
      // Refused when the webhook was written, but the name of the signature's header may have changed since.
      const custom = Object.entries(target.customHeaders).filter(([name]) => !taken.has(name.toLowerCase()));
      lines = headerLines({
        ...Object.fromEntries(custom),
        'content-type': 'application/json',
        'user-agent': options.userAgent,
      });
      fixedLines.set(target, lines);
    }
    return lines;
  }

  function formFor(hasSchema: boolean, isInOrder: boolean): HeaderForm {
    if (isInOrder) return hasSchema ? formOfSchemaInOrder : formInOrder;
    return hasSchema ? formOfSchema : form;
  }

  return (target: Target, parts: AttemptParts, data: string, attemptNumber: number, traceparent: string) => {
    const { deliveryId, webhookId, eventType, schemaVersion, occurredAtMs, ordering } = parts;
    const kept = target.mask == null ? data : masked.of(target.mask, data);
    const body = Buffer.from(deliveryBody({ eventType, data: kept, occurredAtMs, webhookId, deliveryId }));
    const nowMs = options.now();
    const signed = sign({
      ...keysAt(target, nowMs),
      ...(target.serviceKeys == null ? {} : { serviceKeys: target.serviceKeys.signing() }),
      deliveryId,
      body,
      timestampSeconds: Math.floor(nowMs / 1000),
    });
    const fixed = fixedLinesOf(target);
    const values = [
      signed.homechef,
      deliveryId,
      signed.timestamp,
      signed.standard,
      eventType,
      deliveryId,
      String(attemptNumber),
      traceparent,
    ];
    if (schemaVersion !== null) values.push(String(schemaVersion));
    if (ordering != null) values.push(headerValueOf(ordering.key), String(ordering.sequence));
    const lines = formFor(schemaVersion !== null, ordering != null).lines(values);
    return { body, headers: fixed === null || lines === null ? null : joinLines(fixed, lines) };
  };
}

/** A key as a header takes it: what is not printable ASCII, and spaces and percent signs, as percent-encoded UTF-8. `decodeURIComponent` gives the key back. */
function headerValueOf(key: string): string {
  return key.replaceAll(/[^!-$&-~]/gu, (character) => encodeURIComponent(character.isWellFormed() ? character : '\uFFFD'));
}

// The oldest secret that may sign makes the header: a receiver with one secret gets the new one before it needs it.
function keysAt(target: Target, nowMs: number): Pick<ToSign, 'keys' | 'headerKey'> {
  const keys: SigningKey[] = [];
  let headerKey: SigningKey | undefined;
  for (const { key, expiresAtMs, signsHeader } of target.keys) {
    if (expiresAtMs <= nowMs) continue;
    keys.push(key);
    if (signsHeader) headerKey = key;
  }
  return headerKey === undefined ? { keys } : { keys, headerKey };
}

/** The outcome of an attempt that could not even begin. */
export function failed(error: AttemptError, nowMs: number): Outcome {
  return {
    startedAtMs: nowMs,
    durationMs: 0,
    httpStatus: null,
    response: null,
    responseTruncated: false,
    responseOddity: null,
    error,
    retryAfterMs: null,
    transcript: null,
  };
}
