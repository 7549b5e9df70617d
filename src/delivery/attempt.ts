// One attempt: the body and headers of one delivery, signed, sent, and what came of it.
import { deliveryBody } from '../domain/body.ts';
import type { AttemptError, Outcome } from '../domain/delivery.ts';
import { sign, type SigningKey } from '../security/signature.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import { HeaderForm, headerLines, joinLines, type HeaderLines } from './header-lines.ts';
import type { HttpClient } from './http-client.ts';
import type { Task } from './task.ts';
import type { Target } from './webhook-directory.ts';

export interface AttemptOptions {
  readonly client: HttpClient;
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

/** What came of an attempt, and the trace it belongs to. */
export interface Attempted {
  readonly outcome: Outcome;
  readonly traceId: string;
}

export type AttemptParts = Pick<Task, 'deliveryId' | 'webhookId' | 'eventType' | 'data' | 'occurredAtMs' | 'traceparent'>;

/** Sends one delivery. Never rejects: whatever goes wrong is an outcome. */
export type Attempt = (target: Target, parts: AttemptParts, attemptNumber: number) => Promise<Attempted>;

export function createAttempt(options: AttemptOptions): Attempt {
  const compose = createComposer(options);

  function send(target: Target, parts: AttemptParts, attemptNumber: number, traceparent: string): Promise<Outcome> | Outcome {
    if (target.fault !== null) return failed(target.fault, options.now());
    const { data } = parts;
    if (data === null) return failed('payload_unreadable', options.now());
    const { body, headers } = compose(target, parts, data, attemptNumber, traceparent);
    const timeoutMs = Math.min(target.policy.timeoutMs, options.maxTimeoutMs);
    return options.client.post({ url: target.url, headers, body, timeoutMs, signal: options.signal });
  }

  return async (target, parts, attemptNumber) => {
    const traced = options.tracing.attempt(parts.traceparent);
    let outcome: Outcome;
    try {
      outcome = await send(target, parts, attemptNumber, traced.traceparent);
    } catch {
      // What throws here would throw each time: as an outcome it uses up the delivery's retries instead of going round for ever.
      outcome = failed('internal_error', options.now());
    }
    traced.end(outcome.error);
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
  const taken = new Set(ours.map((name) => name.toLowerCase()));
  const form = new HeaderForm(ours);
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

  return (target: Target, parts: AttemptParts, data: string, attemptNumber: number, traceparent: string) => {
    const { deliveryId, webhookId, eventType, occurredAtMs } = parts;
    const body = Buffer.from(deliveryBody({ eventType, data, occurredAtMs, webhookId, deliveryId }));
    const nowMs = options.now();
    const signed = sign({
      keys: keysAt(target, nowMs),
      deliveryId,
      body,
      timestampSeconds: Math.floor(nowMs / 1000),
    });
    const fixed = fixedLinesOf(target);
    const lines = form.lines([
      signed.homechef,
      deliveryId,
      signed.timestamp,
      signed.standard,
      eventType,
      deliveryId,
      String(attemptNumber),
      traceparent,
    ]);
    return { body, headers: fixed === null || lines === null ? null : joinLines(fixed, lines) };
  };
}

function keysAt(target: Target, nowMs: number): SigningKey[] {
  const keys: SigningKey[] = [];
  for (const { key, expiresAtMs } of target.keys) if (expiresAtMs > nowMs) keys.push(key);
  return keys;
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
  };
}
