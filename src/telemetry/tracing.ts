// Spans: from the publisher's call through commit and schedule to every attempt, in whichever process each of them happens.
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api';
import { formatTraceparent, newTraceparent, parseTraceparent, traceIdOf } from './traceparent.ts';

/** Something under way, and the context that whatever it causes belongs to. */
export interface Traced {
  /** To store, to log and to send on. */
  readonly traceparent: string;
  readonly traceId: string;
  /** `error` is a stable code; none means success. */
  end(error?: string | null, attributes?: Attributes): void;
}

/**
 * Contexts travel as `traceparent` values in arguments and in `events.traceparent`, not in asynchronous storage: a batch carries
 * hundreds of traces at once, and a retry happens in another process an hour later.
 */
export interface Tracing {
  /** A call that came in; `incoming` is its `traceparent` header. A malformed one starts a new trace. */
  call(name: string, incoming: string | null | undefined, attributes?: Attributes): Traced;
  /** One event of a stream that may stay open for days: a trace of its own, linked to the stream's. */
  streamed(name: string, stream: Traced): Traced;
  /** One HTTP request to a receiver, a child of what published the event however long ago. */
  attempt(publisher: string | null, attributes?: Attributes): Traced;
  /** A step that served a whole batch, recorded in each of its traces. Times are milliseconds since 1970. */
  step(name: string, traceparents: readonly (string | null)[], startedAtMs: number, endedAtMs: number): void;
}

/** Without a tracer nothing is recorded; trace ids are still made and passed on. */
export function createTracing(tracer: Tracer | null): Tracing {
  if (tracer === null) {
    return {
      call: (_name, incoming) => unrecorded(incoming),
      streamed: () => unrecorded(null),
      attempt: (publisher) => unrecorded(publisher),
      step() {},
    };
  }
  return {
    call: (name, incoming, attributes) =>
      recorded(tracer.startSpan(name, { kind: SpanKind.SERVER, ...withAttributes(attributes) }, contextOf(incoming))),
    streamed(name, stream) {
      const link = parseTraceparent(stream.traceparent);
      const links = link === null ? [] : [{ context: link }];
      return recorded(tracer.startSpan(name, { kind: SpanKind.SERVER, links, root: true }, ROOT_CONTEXT));
    },
    attempt: (publisher, attributes) =>
      recorded(tracer.startSpan('attempt', { kind: SpanKind.CLIENT, ...withAttributes(attributes) }, contextOf(publisher))),
    step(name, traceparents, startedAtMs, endedAtMs) {
      const attributes = { 'batch.size': traceparents.length };
      for (const traceparent of traceparents) {
        // Most traces of a batch are usually not sampled, and a span costs 3 µs even to drop.
        if (traceparent === null || !traceparent.endsWith('-01')) continue;
        tracer.startSpan(name, { startTime: startedAtMs, attributes }, contextOf(traceparent)).end(endedAtMs);
      }
    },
  };
}

function unrecorded(incoming: string | null | undefined): Traced {
  const traceparent = typeof incoming === 'string' && parseTraceparent(incoming) !== null ? incoming : newTraceparent();
  return { traceparent, traceId: traceIdOf(traceparent), end() {} };
}

function recorded(span: Span): Traced {
  const traceparent = formatTraceparent(span.spanContext());
  return {
    traceparent,
    traceId: traceIdOf(traceparent),
    end(error, attributes) {
      if (attributes !== undefined) span.setAttributes(attributes);
      if (error !== undefined && error !== null) {
        span.setAttribute('error.type', error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: error });
      }
      span.end();
    },
  };
}

function contextOf(traceparent: string | null | undefined): Context {
  const context = parseTraceparent(traceparent);
  return context === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, context);
}

function withAttributes(attributes: Attributes | undefined): { attributes?: Attributes } {
  return attributes === undefined ? {} : { attributes };
}
