// A webhook's numbers over the chosen time.
import type { WebhookStats } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { arrivalFigures } from '../../components/arrival-figures.tsx';
import { DeliveryChart } from '../../components/delivery-chart.tsx';
import { Figures } from '../../components/figures.tsx';
import { StatusLegend } from '../../components/status-bar.tsx';
import { link } from '../../router.ts';

export function WebhookNumbers({ stats }: { stats: WebhookStats }) {
  const { counts } = stats;
  if (counts === undefined) return null;
  return (
    <>
      <Figures items={arrivalFigures({ ...stats, counts }, 'in this time')} />
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
