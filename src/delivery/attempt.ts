// One attempt: the body and headers of one delivery, signed, sent, and what came of it.
import { deliveryBody } from '../domain/body.ts';
import type { AttemptError, Outcome } from '../domain/delivery.ts';
import { signHeaders } from '../security/signature.ts';
import type { Tracing } from '../telemetry/tracing.ts';
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
export async function attempt(
  options: AttemptOptions,
  target: Target,
  parts: AttemptParts,
  attemptNumber: number,
): Promise<Attempted> {
  const traced = options.tracing.attempt(parts.traceparent);
  // What throws here would throw each time: as an outcome it uses up the delivery's retries instead of going round for ever.
  const outcome = await send(options, target, parts, attemptNumber, traced.traceparent).catch(() =>
    failed('internal_error', options.now()),
  );
  traced.end(outcome.error);
  return { outcome, traceId: traced.traceId };
}

async function send(
  options: AttemptOptions,
  target: Target,
  parts: AttemptParts,
  attemptNumber: number,
  traceparent: string,
): Promise<Outcome> {
  if (target.fault !== null) return failed(target.fault, options.now());
  const { data, eventType, occurredAtMs, webhookId, deliveryId } = parts;
  if (data === null) return failed('payload_unreadable', options.now());
  const body = Buffer.from(deliveryBody({ eventType, data, occurredAtMs, webhookId, deliveryId }));
  const nowMs = options.now();
  const headers: Record<string, string> = {
    ...target.customHeaders,
    ...signHeaders({
      keys: target.keys.filter((entry) => entry.expiresAtMs > nowMs).map((entry) => entry.key),
      deliveryId: parts.deliveryId,
      body,
      timestampSeconds: Math.floor(nowMs / 1000),
      homechefHeaderName: options.signatureHeader,
    }),
    'content-type': 'application/json',
    'user-agent': options.userAgent,
    'x-homechef-event': parts.eventType,
    'x-homechef-delivery': parts.deliveryId,
    'x-homechef-attempt': String(attemptNumber),
    traceparent,
  };
  return options.client.post({
    url: target.url,
    headers,
    body,
    timeoutMs: Math.min(target.policy.timeoutMs, options.maxTimeoutMs),
    signal: options.signal,
  });
}

/** The outcome of an attempt that could not even begin. */
export function failed(error: AttemptError, nowMs: number): Outcome {
  return {
    startedAtMs: nowMs,
    durationMs: 0,
    httpStatus: null,
    response: null,
    responseTruncated: false,
    error,
    retryAfterMs: null,
  };
}
