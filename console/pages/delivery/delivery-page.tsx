// One delivery: what was sent, what came of every attempt, and what happens next.
import { useEffect, useState } from 'preact/hooks';
import { type Delivery, DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { useAction } from '../../api/action.ts';
import { deliveries } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { watchDeliveries } from '../../api/watch.ts';
import { directory, lookUpWebhooks } from '../../api/webhook-directory.ts';
import { ConfirmDialog } from '../../components/dialog.tsx';
import { Moment } from '../../components/moment.tsx';
import { cancelWords } from '../../format/cancel-reason.ts';
import { lookOfDelivery } from '../../format/status.ts';
import { PageHead } from '../../components/page-head.tsx';
import { Loaded, Problem } from '../../components/states.tsx';
import { StatusMark } from '../../components/status-mark.tsx';
import { WebhookLink } from '../../components/webhook-name.tsx';
import { link } from '../../router.ts';
import { AttemptTimeline } from './attempt-timeline.tsx';
import { CopyCurl } from './copy-curl.tsx';
import { ExplanationPanel } from './explanation-panel.tsx';
import { RequestPanel } from './request-panel.tsx';

export function DeliveryPage({ id }: { id: string }) {
  const delivery = useResource(id, (signal) => deliveries.getDelivery({ deliveryId: id }, { signal }));
  const { data, reload } = delivery;
  useEffect(() => {
    if (data !== undefined) void lookUpWebhooks([data.webhookId]);
  }, [data?.webhookId]);
  const eventId = data?.eventId;
  useEffect(() => {
    if (eventId === undefined) return;
    const controller = new AbortController();
    const watcher = { onDelivery: (changed: Delivery) => changed.id === id && reload(), onState: () => {} };
    void watchDeliveries({ eventId }, watcher, controller.signal);
    return () => controller.abort();
  }, [eventId]);
  const retry = useAction(async () => {
    await deliveries.retryDelivery({ deliveryId: id });
    reload();
  });
  const [asking, setAsking] = useState(false);
  const cancel = useAction(async () => {
    await deliveries.cancelDelivery({ deliveryId: id });
    setAsking(false);
    reload();
  });
  return (
    <>
      <PageHead
        title={data === undefined ? 'Delivery' : data.eventType}
        back={{ href: '/deliveries', label: 'Deliveries' }}
        {...(data === undefined ? {} : { lead: <Lead delivery={data} /> })}
      >
        {data !== undefined && (
          <>
            <CopyCurl delivery={data} />
            {isOpen(data) && (
              <button type="button" class="button danger" onClick={() => setAsking(true)}>
                Cancel delivery
              </button>
            )}
            <button type="button" class="button primary" disabled={retry.busy} onClick={() => void retry.run()}>
              {retry.busy ? 'Asking…' : data.status === DeliveryStatus.DELIVERED ? 'Send again' : 'Retry now'}
            </button>
          </>
        )}
      </PageHead>
      {retry.failure !== undefined && <Problem failure={retry.failure} />}
      {asking && data !== undefined && (
        <ConfirmDialog
          title="Cancel this delivery?"
          confirm="Cancel delivery"
          cancel="Keep it"
          dangerous
          action={cancel}
          onClose={() => setAsking(false)}
        >
          <p class="mono wrap">
            {data.eventType} {data.id}
          </p>
          <p>It is sent no more, and others go on. A request that is under way may still arrive. “Retry now” undoes it.</p>
        </ConfirmDialog>
      )}
      <Loaded from={delivery} lines={10}>
        {(loaded) => (
          <div class="delivery">
            <div class="delivery-story">
              <AttemptTimeline delivery={loaded} />
              <ExplanationPanel delivery={loaded} />
              <Facts delivery={loaded} />
            </div>
            <div class="receipt-shadow">
              <RequestPanel delivery={loaded} />
            </div>
          </div>
        )}
      </Loaded>
    </>
  );
}

/** Whether it may still be sent. */
function isOpen({ status }: Delivery): boolean {
  return status === DeliveryStatus.PENDING || status === DeliveryStatus.RETRYING;
}

function Lead({ delivery }: { delivery: Delivery }) {
  return (
    <span class="delivery-lead">
      <StatusMark look={lookOfDelivery(delivery)} />
      <span>
        to <WebhookLink id={delivery.webhookId} webhook={directory.value.byId.get(delivery.webhookId)} />
      </span>
    </span>
  );
}

function Facts({ delivery }: { delivery: Delivery }) {
  return (
    <section class="panel" aria-labelledby="facts">
      <div class="panel-head">
        <h2 id="facts">About it</h2>
      </div>
      <dl class="facts">
        <dt>Delivery</dt>
        <dd>
          <code class="wrap">{delivery.id}</code>
        </dd>
        <dt>Event</dt>
        <dd>
          <a class="mono wrap" href={link('/deliveries', { event_id: delivery.eventId })} title="Everybody it was delivered to">
            {delivery.eventId}
          </a>
        </dd>
        <dt>Made</dt>
        <dd>
          <Moment at={delivery.createdAt} precise /> (<Moment at={delivery.createdAt} relative />)
        </dd>
        {delivery.deliveredAt !== undefined && (
          <>
            <dt>Delivered</dt>
            <dd>
              <Moment at={delivery.deliveredAt} precise />
            </dd>
          </>
        )}
        {delivery.failedAt !== undefined && (
          <>
            <dt>Given up</dt>
            <dd>
              <Moment at={delivery.failedAt} precise />
            </dd>
          </>
        )}
        {delivery.status === DeliveryStatus.CANCELLED && (
          <>
            <dt>Cancelled</dt>
            <dd>{cancelWords(delivery.cancelReason)}</dd>
          </>
        )}
        {delivery.collapseKey !== undefined && (
          <>
            <dt>Collapse key</dt>
            <dd>{delivery.collapseKey}</dd>
          </>
        )}
        {delivery.deliverBefore !== undefined && (
          <>
            <dt>To be sent before</dt>
            <dd>
              <Moment at={delivery.deliverBefore} />
            </dd>
          </>
        )}
      </dl>
    </section>
  );
}
