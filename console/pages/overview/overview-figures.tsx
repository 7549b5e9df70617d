// The overview's headline numbers.
import type { Overview } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { Figures } from '../../components/figures.tsx';
import { count, percent, plural, shortCount } from '../../format/number.ts';
import { duration } from '../../format/time.ts';

export function OverviewFigures({ overview }: { overview: Overview }) {
  const { counts, successRate, latency, webhooks } = overview;
  const total = webhooks?.total ?? 0;
  const troubled = (webhooks?.failing ?? 0) + (webhooks?.disabled ?? 0);
  const failed = counts?.failed ?? 0;
  return (
    <Figures
      items={[
        { label: 'Deliveries', value: shortCount(counts?.total ?? 0), note: `to ${plural(total, 'webhook')}` },
        {
          label: 'Success rate',
          value: successRate === undefined ? '–' : percent(successRate),
          note: failed === 0 ? 'nothing given up' : `${count(failed)} given up`,
          tone: failed === 0 ? undefined : 'bad',
        },
        {
          label: 'Latency, p95',
          value: latency === undefined ? '–' : duration(latency.p95Ms),
          note: latency === undefined ? '' : `half of them within ${duration(latency.p50Ms)}`,
        },
        {
          label: 'In trouble now',
          value: count(troubled),
          note: troubled === 0 ? 'all receivers answer' : `of ${plural(total, 'webhook')}`,
          tone: troubled === 0 ? undefined : 'bad',
        },
      ]}
    />
  );
}
