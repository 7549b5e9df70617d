// docs/operations.md names every series, and no other.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { quietTelemetry } from '../../src/telemetry/telemetry.ts';
import { gaugeNames, histogramNames } from '../../src/telemetry/metrics.ts';

test('every series is explained in docs/operations.md, and no other', async () => {
  const text = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const explained = [...text.matchAll(/^\| `(\w+)`(?: \{\w+\})? *\| (?:counter|histogram|gauge) *\|/gm)].map(
    (match) => match[1] ?? '',
  );
  const telemetry = quietTelemetry();
  // Whatever has no value yet is not scraped.
  for (const name of gaugeNames) telemetry.metrics.gauge(name, () => 1);
  for (const name of histogramNames) telemetry.metrics.record(name, 1);
  await telemetry.server.start();
  const scrape = async () => (await fetch(`http://127.0.0.1:${telemetry.server.port()}/metrics`)).text();
  // The event loop is timed from when the process serves, once it has turned.
  telemetry.serving();
  const scraped = await eventually(async () => {
    const lines = await scrape();
    return lines.includes('event_loop_lag_seconds') && lines;
  });
  const series = [...scraped.matchAll(/^# TYPE (\w+) /gm)]
    .map((match) => match[1] ?? '')
    .filter((name) => name !== 'target_info');
  await telemetry.server.drain();
  await telemetry.shutdown();
  expect(explained.toSorted()).toEqual(series.toSorted());
});
