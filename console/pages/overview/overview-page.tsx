// The first page: is everything arriving, and if not, whose webhook is in trouble.
import { useEffect } from 'preact/hooks';
import { useResource } from '../../api/resource.ts';
import { directory, readDirectory } from '../../api/webhook-directory.ts';
import { DeliveryChart } from '../../components/delivery-chart.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { chosenRange, RangeSegments } from '../../components/range.tsx';
import { Empty, Loaded, Loading, Problem } from '../../components/states.tsx';
import { StatusLegend } from '../../components/status-bar.tsx';
import { link } from '../../router.ts';
import { OverviewFigures } from './overview-figures.tsx';
import { readOverview } from './overview.ts';
import { WebhookHealthList } from './webhook-health-list.tsx';

export function OverviewPage() {
  useEffect(() => void readDirectory({ again: true }), []);
  const { state, failure, list, more } = directory.value;
  return (
    <>
      <PageHead title="Overview">
        <RangeSegments />
      </PageHead>
      {state === 'failed' && failure !== undefined && (
        <Problem failure={failure} onRetry={() => void readDirectory({ again: true })} />
      )}
      {(state === 'unread' || (state === 'reading' && list.length === 0)) && <Loading lines={6} />}
      {state === 'ready' && list.length === 0 && (
        <Empty title="No webhooks yet">
          <p>Register the address of your receiver, choose its events, and watch them arrive.</p>
          <a class="button primary" href="/webhooks/new">
            Create a webhook
          </a>
        </Empty>
      )}
      {list.length > 0 && <Numbers key={list.map((webhook) => webhook.id).join()} />}
      {more && <p class="notice">These are the newest 100 webhooks; older ones are on the webhooks page.</p>}
    </>
  );
}

function Numbers() {
  const range = chosenRange();
  const { list } = directory.value;
  const overview = useResource(range.key, (signal) => readOverview(list, range.spanMs, signal));
  return (
    <Loaded from={overview} lines={8}>
      {(data) => (
        <>
          <OverviewFigures overview={data} />
          <section class="panel" aria-labelledby="overview-chart">
            <div class="panel-head">
              <h2 id="overview-chart">Deliveries over time</h2>
              <StatusLegend counts={data.counts} hrefOf={(status) => link('/deliveries', { status })} />
            </div>
            <DeliveryChart buckets={data.buckets} bucketSeconds={data.bucketSeconds} />
          </section>
          <WebhookHealthList summaries={data.summaries} />
        </>
      )}
    </Loaded>
  );
}
