// Prometheus: the reader that renders all metrics as text, and the listener that serves them apart from the public one.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { AggregationTemporality, AggregationType, MetricReader } from '@opentelemetry/sdk-metrics';
import type { LongRunning } from '../lifecycle/long-running.ts';

export class ScrapeReader extends MetricReader {
  readonly #serializer = new PrometheusSerializer('', false, undefined, false, true);

  constructor() {
    super({
      aggregationSelector: () => ({ type: AggregationType.DEFAULT }),
      aggregationTemporalitySelector: () => AggregationTemporality.CUMULATIVE,
    });
  }

  async scrape(): Promise<string> {
    const { resourceMetrics } = await this.collect();
    return this.#serializer.serialize(resourceMetrics);
  }

  // Nothing is held between scrapes.
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}

export interface MetricsServer extends LongRunning {
  /** The port in use, once started. */
  port(): number;
}

/** A scraper needs one connection; the rest is room for people with curl. */
const MAX_CONNECTIONS = 32;
const REQUEST_TIMEOUT_MS = 5000;

export function metricsServer(listen: { host: string; port: number }, scrape: () => Promise<string>): MetricsServer {
  const server: Server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    (request, response) => {
      const path = request.url?.split('?', 1)[0];
      if (path !== '/metrics' || (request.method !== 'GET' && request.method !== 'HEAD')) {
        response.writeHead(path === '/metrics' ? 405 : 404).end();
        return;
      }
      scrape().then(
        (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(text),
        () => response.writeHead(500).end(),
      );
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  return {
    name: 'metrics',
    start: () =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(listen.port, listen.host, resolve);
      }),
    drain: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    port: () => (server.address() as AddressInfo | null)?.port ?? 0,
  };
}
