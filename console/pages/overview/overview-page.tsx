// The first page: is everything arriving, and if not, whose webhook is in trouble and why.
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { useEffect } from 'preact/hooks';
import type { Overview } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { DeliveryChart } from '../../components/delivery-chart.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { chosenRange, RangeSegments } from '../../components/range.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { StatusLegend } from '../../components/status-bar.tsx';
import { TryIt } from '../../components/try-it.tsx';
import { link } from '../../router.ts';
import { FailureGroups } from './failure-groups.tsx';
import { OverviewFigures } from './overview-figures.tsx';
import { MAX_TROUBLED, TroubledWebhooks } from './troubled-webhooks.tsx';

/** ms. One read of all webhooks' numbers, which the service answers from sums. */
const REFRESH_MS = 10_000;

export function OverviewPage() {
  const range = chosenRange();
  const overview = useResource(range.key, (signal) =>
    webhooks.getOverview({ since: timestampFromMs(Date.now() - range.spanMs), limit: MAX_TROUBLED }, { signal }),
  );
  // A page that is kept open shows how things stand, not how they stood.
  useEffect(() => {
    if (overview.loading) return;
    const timer = setInterval(() => {
      if (!document.hidden) overview.reload();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [overview.loading]);
  return (
    <>
      <PageHead title="Overview">
        <RangeSegments />
      </PageHead>
      <Loaded from={overview} lines={8}>
        {(data) => (data.webhooks?.total === 0 && data.counts?.total === 0 ? <NoWebhooks /> : <Numbers overview={data} />)}
      </Loaded>
    </>
  );
}

function NoWebhooks() {
  return (
    <Empty title="No webhooks yet">
      <p>Register the address of your receiver, choose its events, and watch them arrive.</p>
      <a class="button primary" href="/webhooks/new">
        Create a webhook
      </a>
      <TryIt />
    </Empty>
  );
}

function Numbers({ overview }: { overview: Overview }) {
  return (
    <>
      <OverviewFigures overview={overview} />
      <section class="panel" aria-labelledby="overview-chart">
        <div class="panel-head">
          <h2 id="overview-chart">Deliveries over time</h2>
          {overview.counts !== undefined && (
            <StatusLegend counts={overview.counts} hrefOf={(status) => link('/deliveries', { status })} />
          )}
        </div>
        <DeliveryChart buckets={overview.buckets} bucketSeconds={overview.bucketSeconds} />
      </section>
      <FailureGroups overview={overview} />
      <TroubledWebhooks overview={overview} />
    </>
  );
}
