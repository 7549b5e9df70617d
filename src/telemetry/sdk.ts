// The OpenTelemetry SDK, switched on at start: metrics for the Prometheus port always, OTLP where the OTEL_* variables ask for it.
import type { Meter, Tracer } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader, type IMetricReader } from '@opentelemetry/sdk-metrics';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
  type Sampler,
} from '@opentelemetry/sdk-trace';
import type { Config, TracesSampler } from '../config.ts';
import { ScrapeReader } from './prometheus.ts';

export interface Sdk {
  readonly meter: Meter;
  /** Null when traces go nowhere: then spans are not even made. */
  readonly tracer: Tracer | null;
  /** All metrics in Prometheus' text format. */
  scrape(): Promise<string>;
  /** Sends what is still held, for at most `SHUTDOWN_MS`. */
  shutdown(): Promise<void>;
}

const SCOPE = 'homechef-webhooks';
/** A collector that hangs must not hold up the end of the process. */
const SHUTDOWN_MS = 3000;

/** @param onExportFailed called with each batch that no collector took, which is lost */
export function startSdk(
  config: Pick<Config, 'version' | 'role' | 'telemetry'>,
  onExportFailed: (signal: 'metrics' | 'traces', error: unknown) => void,
): Sdk {
  const { telemetry } = config;
  const resource = defaultResource()
    .merge(
      resourceFromAttributes({
        'service.name': telemetry.serviceName,
        'service.version': config.version,
        'service.role': config.role,
      }),
    )
    .merge(detectResources({ detectors: [envDetector] }));
  const prometheus = new ScrapeReader();
  const readers: IMetricReader[] = [prometheus];
  if (telemetry.exportMetrics) {
    readers.push(
      new PeriodicExportingMetricReader({
        exporter: reporting(new OTLPMetricExporter(), (error) => onExportFailed('metrics', error)),
        exportIntervalMillis: telemetry.metricIntervalMs,
        exportTimeoutMillis: telemetry.metricTimeoutMs,
      }),
    );
  }
  const meters = new MeterProvider({ resource, readers });
  const tracers = telemetry.exportTraces
    ? new TracerProvider({
        resource,
        sampler: samplerOf(telemetry.sampler, telemetry.samplerRatio),
        spanProcessors: [
          new BatchSpanProcessor({
            exporter: reporting(new OTLPTraceExporter(), (error) => onExportFailed('traces', error)),
            scheduledDelayMillis: telemetry.batchDelayMs,
          }),
        ],
      })
    : null;
  return {
    meter: meters.getMeter(SCOPE),
    tracer: tracers?.getTracer(SCOPE) ?? null,
    scrape: () => prometheus.scrape(),
    async shutdown() {
      const timer = new Promise<void>((resolve) => void setTimeout(resolve, SHUTDOWN_MS).unref());
      // What cannot be sent is lost; the service's own work is not.
      await Promise.race([Promise.allSettled([tracers?.shutdown(), meters.shutdown()]), timer]);
    },
  };
}

interface Exporter<Batch> {
  export(batch: Batch, done: (result: { readonly code: number; readonly error?: Error }) => void): void;
}

/** The SDK says of a failed export only what its global logger gets, which no code has set. */
function reporting<Batch, Kind extends Exporter<Batch>>(exporter: Kind, onFailed: (error: unknown) => void): Kind {
  const send = exporter.export.bind(exporter);
  exporter.export = (batch, done) =>
    send(batch, (result) => {
      if (result.error !== undefined) onFailed(result.error);
      done(result);
    });
  return exporter;
}

function samplerOf(name: TracesSampler, ratio: number): Sampler {
  const root = name.endsWith('always_off')
    ? new AlwaysOffSampler()
    : name.endsWith('traceidratio')
      ? new TraceIdRatioBasedSampler(ratio)
      : new AlwaysOnSampler();
  return name.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root;
}
