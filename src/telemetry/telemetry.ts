// What every other part reports with: a log, metrics, events and tracing.
import type { Config } from '../config.ts';
import { createEvents, type Events } from './events.ts';
import { createLogger, silentLogger, type Logger } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { observeProcess } from './process-metrics.ts';
import { metricsServer, type MetricsServer } from './prometheus.ts';
import { startSdk } from './sdk.ts';
import { createTracing, type Tracing } from './tracing.ts';

export interface Telemetry {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly events: Events;
  readonly tracing: Tracing;
  /** The `/metrics` listener; start it early, drain it late. */
  readonly server: MetricsServer;
  /** Said once the process serves: from now on a stall of the event loop delays a caller or a delivery. */
  serving(): void;
  /** Sends what is still held; the very last thing a process does. */
  shutdown(): Promise<void>;
}

type TelemetryConfig = Pick<Config, 'environment' | 'logLevel' | 'version' | 'role' | 'host' | 'metricsPort' | 'telemetry'>;

/** A collector that is away fails an export every few seconds: one line in so long says as much. */
const EXPORT_LINE_INTERVAL_MS = 60_000;

/** Nothing is global: two services in one process each have their own, which tests rely on. */
export function createTelemetry(config: TelemetryConfig, log: Logger = createLogger(config)): Telemetry {
  let lastLineAt = Number.NEGATIVE_INFINITY;
  const sdk = startSdk(config, (signal, err) => {
    if (performance.now() - lastLineAt < EXPORT_LINE_INTERVAL_MS) return;
    lastLineAt = performance.now();
    log.warn({ err, signal }, 'the OpenTelemetry collector takes nothing: what was to be exported is lost');
  });
  const metrics = createMetrics(sdk.meter);
  const observer = observeProcess(sdk.meter);
  return {
    log,
    metrics,
    events: createEvents(log, metrics),
    tracing: createTracing(sdk.tracer),
    server: metricsServer({ host: config.host, port: config.metricsPort }, () => sdk.scrape()),
    serving: () => observer.watchLoop(),
    async shutdown() {
      observer.stop();
      await sdk.shutdown();
    },
  };
}

/** For tests of other parts: counts as always, logs nothing, exports nothing. */
export function quietTelemetry(): Telemetry {
  const telemetry = {
    serviceName: 'test',
    exportTraces: false,
    exportMetrics: false,
    sampler: 'always_off',
    samplerRatio: 0,
    batchDelayMs: 5000,
    metricIntervalMs: 60_000,
    metricTimeoutMs: 30_000,
  } as const;
  return createTelemetry(
    { environment: 'test', logLevel: 'silent', version: '0.0.0', role: 'all', host: '127.0.0.1', metricsPort: 0, telemetry },
    silentLogger,
  );
}
