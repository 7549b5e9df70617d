// One webhook: how it does, what failed and why, what it was sent, and how it is set up.
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { useEffect, useState } from 'preact/hooks';
import type { Webhook } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { deliveries, webhooks } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { DeliveryTable } from '../../components/delivery-table.tsx';
import { MissingEvent } from '../../components/missing-event.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { chosenRange, RangeSegments } from '../../components/range.tsx';
import { Loaded } from '../../components/states.tsx';
import { WebhookUrl } from '../../components/webhook-name.tsx';
import { toDate } from '../../format/time.ts';
import { stateOf, WebhookState } from '../../components/webhook-state.tsx';
import { nowMs } from '../../clock.ts';
import { link } from '../../router.ts';
import { DiagnosisPanel } from './diagnosis-panel.tsx';
import { FailureList } from './failure-list.tsx';
import { HistoryPanel } from './history-panel.tsx';
import { MissedPanel } from './missed-panel.tsx';
import { ReplayPanel } from './replay-panel.tsx';
import { RotationPanel } from './rotation-panel.tsx';
import { SecretPanel } from './secret-panel.tsx';
import { TestPanel } from './test-panel.tsx';
import { WebhookActions } from './webhook-actions.tsx';
import { WebhookNumbers } from './webhook-numbers.tsx';
import { WebhookSettings } from './webhook-settings.tsx';

const RECENT = 10;
/** ms. How often a webhook is read anew while what was held of it is being sent. */
const RELEASE_REFRESH_MS = 2000;

export function WebhookPage({ id }: { id: string }) {
  const webhook = useResource(id, (signal) => webhooks.getWebhook({ webhookId: id }, { signal }));
  const [version, setVersion] = useState(0);
  const [isBack, setIsBack] = useState(false);
  const refresh = () => {
    webhook.reload();
    setVersion((before) => before + 1);
  };
  const { data } = webhook;
  // A read that failed is followed by the next, as one that did not.
  useEffect(() => {
    if (webhook.loading || data === undefined || data.releaseId === '') return;
    const timer = setTimeout(refresh, RELEASE_REFRESH_MS);
    return () => clearTimeout(timer);
  }, [webhook.loading, data]);
  return (
    <>
      <PageHead
        title={data === undefined ? 'Webhook' : data.url}
        heading={data === undefined ? 'Webhook' : <WebhookUrl url={data.url} />}
        back={{ href: '/webhooks', label: 'Webhooks' }}
        {...(data === undefined ? {} : { lead: <Lead webhook={data} /> })}
      >
        {data !== undefined && <WebhookActions webhook={data} onChanged={refresh} onEnabled={() => setIsBack(true)} />}
      </PageHead>
      <Loaded from={webhook} lines={8}>
        {(loaded) => (
          <>
            {isBack && loaded.isActive && <MissedPanel webhook={loaded} onBegun={refresh} onClose={() => setIsBack(false)} />}
            <SecretPanel webhookId={id} />
            <RotationPanel webhook={loaded} onChanged={refresh} />
            <Statistics id={id} version={version} />
            <TestPanel webhook={loaded} onTested={refresh} />
            <DiagnosisPanel webhookId={id} />
            <RecentDeliveries id={id} version={version} />
            <MissingEvent webhookId={id} />
            <ReplayPanel webhook={loaded} version={version} onEnded={refresh} />
            <WebhookSettings webhook={loaded} />
            <HistoryPanel webhookId={id} version={version} />
          </>
        )}
      </Loaded>
    </>
  );
}

function Lead({ webhook }: { webhook: Webhook }) {
  const { detail } = stateOf(webhook, nowMs.value);
  const endsAt = toDate(webhook.health?.certificateExpiresAt);
  return (
    <span class="webhook-lead">
      <WebhookState webhook={webhook} />
      {detail !== '' && <span>{detail}</span>}
      {endsAt !== undefined && (
        <span>The certificate of its receiver ends on {endsAt.toISOString().slice(0, 10)}: renew it.</span>
      )}
      {webhook.description !== '' && <span>{webhook.description}</span>}
    </span>
  );
}

function Statistics({ id, version }: { id: string; version: number }) {
  const range = chosenRange();
  const stats = useResource(
    `${id} ${range.key}`,
    (signal) => webhooks.getWebhookStats({ webhookId: id, since: timestampFromMs(Date.now() - range.spanMs) }, { signal }),
    version,
  );
  return (
    <>
      <div class="toolbar">
        <RangeSegments />
      </div>
      <Loaded from={stats} lines={6}>
        {(data) => <WebhookNumbers stats={data} />}
      </Loaded>
      <FailureList webhookId={id} range={range} version={version} />
    </>
  );
}

function RecentDeliveries({ id, version }: { id: string; version: number }) {
  const recent = useResource(id, (signal) => deliveries.listDeliveries({ webhookId: id, limit: RECENT }, { signal }), version);
  return (
    <section class="panel flush" aria-labelledby="recent">
      <div class="panel-head">
        <h2 id="recent">Latest deliveries</h2>
        <a href={link('/deliveries', { webhook_id: id })}>All its deliveries</a>
        <a href={link('/live', { webhook_id: id })}>Watch live</a>
      </div>
      <Loaded from={recent} lines={5}>
        {(data) =>
          data.deliveries.length === 0 ? (
            <p class="quiet-note">Nothing has been sent to it yet.</p>
          ) : (
            <DeliveryTable
              caption="Latest deliveries of this webhook"
              showWebhook={false}
              rows={data.deliveries.map((delivery) => ({ delivery }))}
            />
          )
        }
      </Loaded>
    </section>
  );
}
