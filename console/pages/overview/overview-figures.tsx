// The overview's headline numbers.
import { Figures } from '../../components/figures.tsx';
import { WebhookLink } from '../../components/webhook-name.tsx';
import { count, percent, plural, shortCount } from '../../format/number.ts';
import { duration } from '../../format/time.ts';
import type { Overview } from './overview.ts';

export function OverviewFigures({ overview }: { overview: Overview }) {
  const { counts, successRate, slowest, summaries } = overview;
  const troubled = summaries.filter((summary) => summary.trouble >= 1).length;
  return (
    <Figures
      items={[
        { label: 'Deliveries', value: shortCount(counts.total), note: `to ${plural(summaries.length, 'webhook')}` },
        {
          label: 'Success rate',
          value: successRate === undefined ? '–' : percent(successRate),
          note: counts.failed === 0 ? 'nothing given up' : `${count(counts.failed)} given up`,
          tone: counts.failed === 0 ? undefined : 'bad',
        },
        {
          label: 'Slowest webhook, p95',
          value: slowest?.stats.latency === undefined ? '–' : duration(slowest.stats.latency.p95Ms),
          note: slowest === undefined ? '' : <WebhookLink id={slowest.webhook.id} webhook={slowest.webhook} />,
        },
        {
          label: 'In trouble',
          value: count(troubled),
          note: troubled === 0 ? 'all receivers answer' : `of ${plural(summaries.length, 'webhook')}`,
          tone: troubled === 0 ? undefined : 'bad',
        },
      ]}
    />
  );
}
