// What a scrape of /metrics shows, and where it is served.
import { afterEach, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { quietTelemetry, type Telemetry } from '../../src/telemetry/telemetry.ts';

const open: Telemetry[] = [];

async function serving(): Promise<{ telemetry: Telemetry; url: string }> {
  const telemetry = quietTelemetry();
  open.push(telemetry);
  await telemetry.server.start();
  return { telemetry, url: `http://127.0.0.1:${telemetry.server.port()}` };
}

afterEach(async () => {
  for (const telemetry of open.splice(0)) {
    await telemetry.server.drain();
    await telemetry.shutdown();
  }
});

/** The names of rule 67, which alerts and the fault tests rely on. */
const COUNTERS = [
  'deliveries_leased_total',
  'deliveries_delivered_total',
  'deliveries_gave_up_total',
  'lease_expired_total',
  'reconcile_requeued_total',
  'queue_junk_total',
  'stale_result_total',
];

test('every counter of rule 67 is there from the first scrape on, at zero', async () => {
  const { url } = await serving();
  const text = await (await fetch(`${url}/metrics`)).text();
  for (const name of COUNTERS) expect(text).toMatch(new RegExp(`^${name} 0$`, 'm'));
});

test('what happens is counted, by label where there is one, and measured', async () => {
  const { telemetry, url } = await serving();
  const attempt = {
    deliveryId: 'delivery_1',
    webhookId: 'webhook_1',
    eventId: 'event_1',
    eventType: 'order.created',
    number: 1,
    trigger: 'automatic',
    durationMs: 40,
    delayMs: 4,
    retryInMs: null,
    traceId: '0'.repeat(32),
  } as const;
  telemetry.events.attemptFinished({ ...attempt, outcome: 'delivered', httpStatus: 200, error: null });
  telemetry.events.attemptFinished({ ...attempt, outcome: 'retrying', httpStatus: null, error: 'timeout', retryInMs: 1000 });
  telemetry.events.attemptFinished({ ...attempt, outcome: 'failed', httpStatus: 500, error: 'http_status', number: 4 });
  telemetry.events.leaseExpired(3);
  telemetry.metrics.gauge('inflight', () => 7);
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(text).toMatch(/^deliveries_delivered_total 1$/m);
  expect(text).toMatch(/^deliveries_failed_total\{error="timeout"\} 1$/m);
  expect(text).toMatch(/^deliveries_failed_total\{error="http_status"\} 1$/m);
  expect(text).toMatch(/^deliveries_gave_up_total 1$/m);
  expect(text).toMatch(/^lease_expired_total 3$/m);
  expect(text).toMatch(/^inflight 7$/m);
  expect(text).toMatch(/^attempt_duration_seconds_bucket\{le="0.025"\} 0$/m);
  expect(text).toMatch(/^attempt_duration_seconds_bucket\{le="0.05"\} 3$/m);
  expect(text).toMatch(/^first_attempt_delay_seconds_count 2$/m);
  expect(text).toMatch(/^process_resident_memory_bytes [1-9]/m);
});

test('a label’s values are all there from the start, and no other can add a series', async () => {
  const { telemetry, url } = await serving();
  for (let i = 0; i < 500; i += 1) telemetry.metrics.count('deliveries_failed_total', 1, `error_${i}`);
  const text = await (await fetch(`${url}/metrics`)).text();
  expect(text).toMatch(/^deliveries_failed_total\{error="timeout"\} 0$/m);
  expect(text).toMatch(/^deliveries_failed_total\{error="other"\} 500$/m);
  expect(text).not.toContain('error_');
  expect(telemetry.metrics.total('deliveries_failed_total')).toBe(500);
});

test('only GET /metrics is answered', async () => {
  const { url } = await serving();
  expect((await fetch(`${url}/`)).status).toBe(404);
  expect((await fetch(`${url}/metrics`, { method: 'POST' })).status).toBe(405);
});

test('a port that is taken fails the start', async () => {
  const { telemetry } = await serving();
  const { metricsServer } = await import('../../src/telemetry/prometheus.ts');
  const second = metricsServer({ host: '127.0.0.1', port: telemetry.server.port() }, () => Promise.resolve(''));
  await expect(second.start()).rejects.toThrow('EADDRINUSE');
});

test('the lag of the event loop counts from when the process serves: what loading held up delayed no call', async () => {
  const { telemetry, url } = await serving();
  const lag = async (): Promise<number | null> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const found = /^event_loop_lag_seconds\{[^}]*percentile="100"[^}]*\} (\S+)$/m.exec(text)?.[1];
    return found === undefined ? null : Number(found);
  };
  const hold = (ms: number): void => {
    const until = performance.now() + ms;
    while (performance.now() < until);
  };
  // A timer must have run before, or nothing measures the stall.
  await new Promise((resolve) => setTimeout(resolve, 50));
  hold(400);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect((await lag()) ?? 0).toBeLessThan(0.3);
  telemetry.serving();
  await eventually(async () => (await lag()) !== null);
  hold(400);
  await eventually(async () => ((await lag()) ?? 0) >= 0.3);
});
