// What an OpenTelemetry collector gets: the standard's variables mean what the standard says.
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { toConfig } from '../../src/config.ts';
import { createLogger, silentLogger } from '../../src/telemetry/log.ts';
import { createTelemetry, type Telemetry } from '../../src/telemetry/telemetry.ts';
import { eventually } from '../fixtures/eventually.ts';

interface Export {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

let collector: Server;
let exports: Export[];
let telemetry: Telemetry | undefined;

beforeEach(async () => {
  exports = [];
  collector = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      exports.push({ path: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks).toString() });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
});

afterEach(async () => {
  await telemetry?.shutdown();
  telemetry = undefined;
  vi.unstubAllEnvs();
  collector.closeAllConnections();
  collector.close();
});

/** The exporters read some of the variables themselves. */
function start(more: Record<string, string> = {}, log = silentLogger): Telemetry {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    OTEL_METRIC_EXPORT_INTERVAL: '50',
    OTEL_BSP_SCHEDULE_DELAY: '50',
    ...more,
  };
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  return (telemetry = createTelemetry({ ...toConfig(env), metricsPort: 0 }, log));
}

const sentTo = (path: string): Export[] => exports.filter((sent) => sent.path === path);

/** Names and values of the resource that an export is about. */
function resourceOf({ body }: Export): Record<string, string | undefined> {
  const sent = JSON.parse(body) as Record<
    string,
    { resource: { attributes: { key: string; value: { stringValue?: string } }[] } }[]
  >;
  const resource = Object.values(sent)[0]?.[0]?.resource;
  return Object.fromEntries((resource?.attributes ?? []).map(({ key, value }) => [key, value.stringValue]));
}

test('metrics are exported again and again, at the interval that was asked for', async () => {
  start().metrics.count('events_published_total', 7);
  await eventually(() => sentTo('/v1/metrics').length >= 3, { what: 'three exports' });
  const [first] = sentTo('/v1/metrics');
  expect(first?.body).toMatch(/"name":"events_published_total"[^]*?"as(?:Int|Double)":"?7/);
});

test('a collector that takes nothing is one line of the log, however often it is tried', async () => {
  const lines: string[] = [];
  const refused: string[] = [];
  collector.removeAllListeners('request');
  collector.on('request', (request, response) => {
    refused.push(request.url ?? '');
    response.writeHead(400).end();
  });
  const log = createLogger(
    { environment: 'test', logLevel: 'info', version: '1.0.0', role: 'all' },
    { write: (line) => void lines.push(line) },
  );
  start({}, log).tracing.call('PublishEvent', null).end();
  await eventually(() => refused.length >= 5 && new Set(refused).size === 2, { what: 'refused exports of both signals' });
  await eventually(() => lines.length > 0, { what: 'a line' });
  expect(lines).toEqual([expect.stringContaining('the OpenTelemetry collector takes nothing')]);
});

test('headers go with metrics and traces alike, and those of one signal win', async () => {
  start({
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc,x-tenant=homechef',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-tenant=traces',
  })
    .tracing.call('PublishEvent', null)
    .end();
  await eventually(() => sentTo('/v1/metrics').length > 0 && sentTo('/v1/traces').length > 0, { what: 'both signals' });
  expect(sentTo('/v1/metrics')[0]?.headers).toMatchObject({ authorization: 'Bearer abc', 'x-tenant': 'homechef' });
  expect(sentTo('/v1/traces')[0]?.headers).toMatchObject({ authorization: 'Bearer abc', 'x-tenant': 'traces' });
});

test('the resource has the attributes of the environment beside ours', async () => {
  start({ OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=staging,k8s.pod.name=webhooks%2D1' });
  await eventually(() => sentTo('/v1/metrics').length > 0, { what: 'an export' });
  expect(resourceOf(sentTo('/v1/metrics')[0] as Export)).toMatchObject({
    'service.name': 'homechef-webhooks',
    'service.role': 'all',
    'deployment.environment.name': 'staging',
    'k8s.pod.name': 'webhooks-1',
  });
});

test.each([
  [{ OTEL_RESOURCE_ATTRIBUTES: 'service.name=from-attributes' }, 'from-attributes'],
  [{ OTEL_RESOURCE_ATTRIBUTES: 'service.name=from-attributes', OTEL_SERVICE_NAME: 'from-name' }, 'from-name'],
])('of the names of the service in %o, the standard’s wins', async (env, name) => {
  start(env);
  await eventually(() => sentTo('/v1/metrics').length > 0, { what: 'an export' });
  expect(resourceOf(sentTo('/v1/metrics')[0] as Export)['service.name']).toBe(name);
});

test('an interval shorter than the usual timeout shortens that too', () => {
  expect(toConfig({ OTEL_METRIC_EXPORT_INTERVAL: '1000' }).telemetry).toMatchObject({
    metricIntervalMs: 1000,
    metricTimeoutMs: 1000,
  });
});
