// A webhook's numbers over the chosen time.
import type { WebhookStats } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { DeliveryChart } from '../../components/delivery-chart.tsx';
import { Figures } from '../../components/figures.tsx';
import { StatusLegend } from '../../components/status-bar.tsx';
import { count, percent, shortCount } from '../../format/number.ts';
import { duration } from '../../format/time.ts';
import { link } from '../../router.ts';

export function WebhookNumbers({ stats }: { stats: WebhookStats }) {
  const { counts, latency } = stats;
  if (counts === undefined) return null;
  return (
    <>
      <Figures
        items={[
          { label: 'Deliveries', value: shortCount(counts.total), note: `${count(counts.delivered)} delivered` },
          {
            label: 'Success rate',
            value: stats.successRate === undefined ? '–' : percent(stats.successRate),
            note: counts.failed === 0 ? 'nothing given up' : `${count(counts.failed)} given up`,
            tone: counts.failed === 0 ? undefined : 'bad',
          },
          { label: 'Median answer', value: latency === undefined ? '–' : duration(latency.p50Ms), note: 'half are faster' },
          {
            label: '95th percentile',
            value: latency === undefined ? '–' : duration(latency.p95Ms),
            note: latency === undefined ? '' : `99th: ${duration(latency.p99Ms)}`,
          },
        ]}
      />
      <section class="panel" aria-labelledby="webhook-chart">
        <div class="panel-head">
          <h2 id="webhook-chart">Deliveries over time</h2>
          <StatusLegend counts={counts} hrefOf={(status) => link('/deliveries', { webhook_id: stats.webhookId, status })} />
        </div>
        <DeliveryChart buckets={stats.buckets} bucketSeconds={stats.bucketSeconds} />
      </section>
    </>
  );
}
