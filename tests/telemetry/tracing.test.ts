// Trace contexts: made, kept, passed on, and recorded where a collector is named.
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { expect, test } from 'vitest';
import { toConfig } from '../../src/config.ts';
import { newTraceparent, parseTraceparent } from '../../src/telemetry/traceparent.ts';
import { createTracing } from '../../src/telemetry/tracing.ts';

const INCOMING = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function recording() {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  return { tracing: createTracing(provider.getTracer('test')), spans: () => exporter.getFinishedSpans() };
}

test('without a collector the publisher’s trace still reaches the receiver, unchanged', () => {
  const tracing = createTracing(null);
  const call = tracing.call('PublishEvent', INCOMING);
  expect(call.traceparent).toBe(INCOMING);
  expect(tracing.attempt(call.traceparent).traceparent).toBe(INCOMING);
});

test('without a traceparent, or with a malformed one, a trace is begun', () => {
  for (const incoming of [
    null,
    undefined,
    '',
    'junk',
    INCOMING.toUpperCase(),
    INCOMING.replace(/^00/, 'ff'),
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
  ]) {
    const { traceparent, traceId } = createTracing(null).call('x', incoming);
    expect(parseTraceparent(traceparent)).not.toBeNull();
    expect(traceparent).toContain(traceId);
    expect(traceparent).not.toBe(incoming);
  }
});

test('new trace ids do not repeat', () => {
  const ids = new Set(Array.from({ length: 5000 }, newTraceparent));
  expect(ids.size).toBe(5000);
});

test('a publish, its commit and every attempt are spans of the publisher’s trace', () => {
  const { tracing, spans } = recording();
  const call = tracing.call('PublishEvent', INCOMING);
  tracing.step('commit', [call.traceparent, null, newTraceparent()], 1000, 1020);
  tracing.attempt(call.traceparent, { attempt: 1 }).end('timeout');
  tracing.attempt(call.traceparent, { attempt: 2 }).end(null, { 'http.response.status_code': 200 });
  call.end();
  expect(spans().map((span) => span.name)).toEqual(['commit', 'attempt', 'attempt', 'PublishEvent']);
  expect(new Set(spans().map((span) => span.spanContext().traceId))).toEqual(new Set(['0af7651916cd43dd8448eb211c80319c']));
  const [commit, first, second, publish] = spans();
  expect(publish?.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
  for (const span of [commit, first, second]) expect(span?.parentSpanContext?.spanId).toBe(publish?.spanContext().spanId);
  expect(first?.status.message).toBe('timeout');
  expect(first?.attributes['error.type']).toBe('timeout');
  expect(second?.attributes['http.response.status_code']).toBe(200);
});

test('each event of a stream has a trace of its own that names the stream', () => {
  const { tracing, spans } = recording();
  const stream = tracing.call('PublishStream', INCOMING);
  tracing.streamed('PublishStream event', stream).end();
  const [event] = spans();
  expect(event?.spanContext().traceId).not.toBe(stream.traceId);
  expect(event?.links[0]?.context.traceId).toBe(stream.traceId);
});

test('traces are exported only when the standard variables name a collector', () => {
  const ask = (env: Record<string, string>) => toConfig(env).telemetry.exportTraces;
  expect(ask({})).toBe(false);
  expect(ask({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' })).toBe(true);
  expect(ask({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' })).toBe(true);
  expect(ask({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_SDK_DISABLED: 'true' })).toBe(false);
  expect(ask({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_TRACES_EXPORTER: 'none' })).toBe(false);
});
