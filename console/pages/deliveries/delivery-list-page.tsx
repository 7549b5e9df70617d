// The log of deliveries, filtered by what the address bar says.
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { useEffect, useState } from 'preact/hooks';
import { deliveries } from '../../api/client.ts';
import { useResource } from '../../api/resource.ts';
import { seesEverybody } from '../../api/session.ts';
import { DeliveryTable } from '../../components/delivery-table.tsx';
import { EventTypeFilter, MomentFilter, StatusFilter, TextFilter, WebhookFilter } from '../../components/filters.tsx';
import { MissingEvent } from '../../components/missing-event.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { Pager } from '../../components/pager.tsx';
import { Empty, Loaded } from '../../components/states.tsx';
import { count } from '../../format/number.ts';
import { statusFromKey } from '../../format/status.ts';
import { address, query } from '../../router.ts';
import { MarkedDeliveries } from './marked-deliveries.tsx';

const PAGE_SIZE = 50;
const none: ReadonlySet<string> = new Set();
const EVENT_ID = /^event_[0-9a-hjkmnp-tv-z]{26}$/;

export function DeliveryListPage() {
  const page = useResource(address.value.query, (signal) => deliveries.listDeliveries(request(query.peek()), { signal }));
  const eventId = query.value.get('event_id') ?? '';
  const webhookId = query.value.get('webhook_id') ?? '';
  const [ids, setIds] = useState<ReadonlySet<string>>(none);
  // What is marked is what is in sight: another page or filter begins with nothing.
  useEffect(() => setIds(none), [address.value.query]);
  const marked = (page.data?.deliveries ?? []).filter(({ id }) => ids.has(id));
  const filtered = [...query.value.keys()].some((name) => name !== 'page_token');
  return (
    <>
      <PageHead title="Deliveries" {...(page.data === undefined ? {} : { lead: totalText(page.data) })}>
        <button type="button" class="button" onClick={page.reload}>
          Refresh
        </button>
      </PageHead>
      <StatusFilter />
      <div class="toolbar">
        <WebhookFilter />
        <EventTypeFilter />
        <MomentFilter name="since" label="From" />
        <MomentFilter name="until" label="Until" />
        <TextFilter name="event_id" label="Event" placeholder="event_…" shape={EVENT_ID} />
        {seesEverybody() && <TextFilter name="user_id" label="User" placeholder="user id" />}
        {filtered && (
          <a class="button quiet" href="/deliveries">
            Clear filters
          </a>
        )}
      </div>
      <MarkedDeliveries
        key={address.value.query}
        marked={marked}
        onDone={() => {
          setIds(none);
          page.reload();
        }}
      />
      <Loaded from={page} lines={10}>
        {(data) =>
          data.deliveries.length === 0 && data.nextPageToken !== '' ? (
            <>
              <Empty title="None so far">
                <p>The newest part of the log has no delivery that matches. Older ones may.</p>
              </Empty>
              <Pager nextToken={data.nextPageToken} />
            </>
          ) : data.deliveries.length === 0 ? (
            <>
              <Empty title={filtered ? 'No delivery matches these filters' : 'No deliveries yet'}>
                {filtered ? (
                  <a href="/deliveries">Show all deliveries</a>
                ) : (
                  <p>They appear as soon as an event is published that one of your webhooks is subscribed to.</p>
                )}
              </Empty>
              {eventId !== '' && <MissingEvent key={eventId} eventId={eventId} {...(webhookId === '' ? {} : { webhookId })} />}
            </>
          ) : (
            <>
              <DeliveryTable
                caption="Deliveries, newest first"
                rows={data.deliveries.map((delivery) => ({ delivery }))}
                selection={{ ids, change: setIds }}
              />
              <Pager nextToken={data.nextPageToken} />
            </>
          )
        }
      </Loaded>
    </>
  );
}

function totalText(data: { total: number; totalIsExact: boolean }): string {
  if (data.total === 0) return '';
  return data.totalIsExact ? `${count(data.total)} in all, newest first` : `More than ${count(data.total)}, newest first`;
}

function request(chosen: URLSearchParams) {
  const since = moment(chosen.get('since'));
  const until = moment(chosen.get('until'));
  const status = statusFromKey(chosen.get('status'));
  return {
    limit: PAGE_SIZE,
    pageToken: chosen.get('page_token') ?? '',
    webhookId: chosen.get('webhook_id') ?? '',
    eventType: chosen.get('event_type') ?? '',
    eventId: chosen.get('event_id') ?? '',
    userId: chosen.get('user_id') ?? '',
    ...(status === undefined ? {} : { status: status.status }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

function moment(text: string | null) {
  const at = new Date(text ?? '');
  return Number.isNaN(at.getTime()) ? undefined : timestampFromDate(at);
}
