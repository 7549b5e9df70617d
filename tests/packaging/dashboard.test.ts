// The Grafana dashboard and the alert rules: every series they name is there once the service runs.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { startApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver } from '../fixtures/receiver.ts';
import { createTestRedis } from '../fixtures/redis.ts';

const files = new URL('../../k8s/helm-charts/homechef-microservices/files/', import.meta.url);
const dashboard = JSON.parse(readFileSync(new URL('dashboard.json', files), 'utf8')) as {
  panels: { title: string; targets: { expr: string }[] }[];
};
const alerts = parse(readFileSync(new URL('alerts.yml', files), 'utf8')) as {
  groups: { rules: { alert: string; expr: string; annotations: { summary: string; description: string } }[] }[];
};
const rules = alerts.groups.flatMap((group) => group.rules);
const expressions = [
  ...dashboard.panels.flatMap((panel) => panel.targets.map(({ expr }) => ({ used: `panel ${panel.title}`, expr }))),
  ...rules.map(({ alert, expr }) => ({ used: `alert ${alert}`, expr })),
];

/** Of Prometheus itself. */
const PROMETHEUS_OWN = new Set(['up']);

/** The series in an expression, each with the labels that it is asked by. */
function seriesOf(expr: string): { name: string; labels: string[] }[] {
  const withoutGrouping = expr.replaceAll(/\b(?:by|without|on)\s*\([^)]*\)/g, '');
  return [...withoutGrouping.matchAll(/([a-z_][a-z0-9_]*)(?:\{([^}]*)\})?(?=\s*(?:\[|\)|[<>=+*/-]|$|\sor\s|,))/g)]
    .map((match) => ({
      name: match[1] ?? '',
      labels: [...(match[2] ?? '').matchAll(/(\w+)=/g)].map((label) => label[1] ?? ''),
    }))
    .filter(({ name }) => !PROMETHEUS_OWN.has(name) && !['or', 'and'].includes(name));
}

test('every series of the dashboard and of the alert rules exists in /metrics of a running service', async () => {
  const [redis, receiver] = await Promise.all([createTestRedis(), startReceiver()]);
  const service = await startApp({ redis: redis.config, env: { WEBHOOK_RETRY_DELAY: '0.1' } });
  try {
    const developer = await service.as('user123');
    const publisher = await service.as('orders', 'service');
    await developer('POST', '/api/v1/webhooks', {
      url: receiver.url('/500'),
      events: ['order.created'],
      retry_policy: { max_retries: 1 },
    });
    await developer('POST', '/api/v1/webhooks', { url: receiver.url('/ok'), events: ['order.created'] });
    // Twice: the first may be handed over within the process, past the schedule.
    for (let i = 0; i < 2; i += 1) {
      const event = { event_type: 'order.created', data: {}, audience: { user_ids: ['user123'] } };
      expect((await publisher('POST', '/api/v1/events', event)).status).toBe(202);
    }
    const scrape = async () => (await fetch(`${service.app.addresses.metrics}/metrics`)).text();
    const text = await eventually(
      async () => {
        const scraped = await scrape();
        return /^deliveries_gave_up_total 2$/m.test(scraped) && /^queue_depth \d/m.test(scraped) && scraped;
      },
      { what: 'two deliveries given up and the backlog measured' },
    );
    const asked = expressions.flatMap(({ used, expr }) => seriesOf(expr).map((series) => ({ used, ...series })));
    expect(new Set(asked.map(({ used }) => used)).size).toBe(new Set(expressions.map(({ used }) => used)).size);
    const absent = asked.filter(({ name, labels }) => {
      const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
      // Which process a series comes from is Prometheus' to say.
      const own = labels.filter((label) => label !== 'job' && label !== 'le');
      return !lines.some((line) => own.every((label) => line.includes(`${label}="`)));
    });
    expect(absent).toEqual([]);
  } finally {
    await service.close();
    await Promise.all([redis.close(), receiver.close()]);
  }
});

test('every alert says what is wrong and what to look at', () => {
  expect(rules.length).toBeGreaterThan(8);
  for (const { annotations } of rules) {
    expect(annotations.summary).toMatch(/^[A-Z].*\.$/);
    expect(annotations.description).toMatch(/\S/);
  }
});
