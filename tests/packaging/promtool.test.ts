// What Prometheus itself says of our metrics and alert rules. Skipped where there is no promtool (Debian: prometheus; Go: github.com/prometheus/prometheus/cmd/promtool).
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { eventually } from '../fixtures/eventually.ts';
import { quietTelemetry } from '../../src/telemetry/telemetry.ts';

const rules = fileURLToPath(new URL('../../k8s/helm-charts/homechef-microservices/files/alerts.yml', import.meta.url));
const ruleTests = fileURLToPath(new URL('alerts.promtool.yml', import.meta.url));

describe.skipIf(!hasPromtool())('promtool', () => {
  test('finds nothing to say of the metrics of a process', async () => {
    const telemetry = quietTelemetry();
    try {
      await telemetry.server.start();
      telemetry.serving();
      // The lag of the event loop is there once it was measured.
      const metrics = await eventually(
        async () => {
          const text = await (await fetch(`http://127.0.0.1:${telemetry.server.port()}/metrics`)).text();
          return text.includes('event_loop_lag_seconds{') && text;
        },
        { what: 'all metrics' },
      );
      const { stdout, stderr, status } = promtool(['check', 'metrics'], metrics);
      expect({ said: stdout + stderr, status }).toEqual({ said: '', status: 0 });
    } finally {
      await telemetry.server.drain();
      await telemetry.shutdown();
    }
  });

  test('sees each alert fire when it should, and none while all is well', () => {
    const { stdout, stderr, status } = promtool(['test', 'rules', ruleTests]);
    expect({ said: status === 0 ? '' : stdout + stderr, status }).toEqual({ said: '', status: 0 });
  });
});

test('each alert has a test', () => {
  const { groups } = parse(readFileSync(rules, 'utf8')) as { groups: { rules: { alert: string }[] }[] };
  const tested = readFileSync(ruleTests, 'utf8');
  for (const { alert } of groups.flatMap((group) => group.rules)) expect(tested).toContain(`alertname: ${alert}\n`);
});

function promtool(parameters: string[], input?: string) {
  return spawnSync('promtool', parameters, { encoding: 'utf8', input });
}

function hasPromtool(): boolean {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
