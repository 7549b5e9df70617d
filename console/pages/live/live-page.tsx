// Deliveries as they happen.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { watchDeliveries, type WatchState } from '../../api/watch.ts';
import { signIns } from '../../api/session.ts';
import { DeliveryTable } from '../../components/delivery-table.tsx';
import { EventTypeFilter, StatusFilter, WebhookFilter } from '../../components/filters.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { Empty, Problem } from '../../components/states.tsx';
import { plural } from '../../format/number.ts';
import { statusFromKey } from '../../format/status.ts';
import { address, query } from '../../router.ts';
import { CrowdView } from './crowd-view.tsx';
import { LiveFeed } from './live-feed.ts';
import { type Gap, StreamState } from './stream-state.tsx';

export function LivePage() {
  return (
    <>
      <PageHead title="Live" lead="Every change of a delivery, the moment it is committed." />
      <Feed key={address.value.query} />
    </>
  );
}

/** One watch; another selection is another one. */
function Feed() {
  const feed = useMemo(() => new LiveFeed(), []);
  const [state, setState] = useState<WatchState>({ kind: 'connecting' });
  const [gap, setGap] = useState<Gap | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    void watchDeliveries(
      chosenFilter(),
      {
        onDelivery: (delivery) => feed.add(delivery),
        onState: setState,
        onGap: (dropped) => setGap((before) => ({ dropped: (before?.dropped ?? 0) + dropped, at: new Date() })),
      },
      controller.signal,
    );
    return () => {
      controller.abort();
      feed.stop();
    };
  }, [round, signIns.value]);
  const paused = feed.paused.value;
  return (
    <>
      <StatusFilter />
      <div class="toolbar">
        <WebhookFilter />
        <EventTypeFilter />
      </div>
      <div class="live-bar">
        <StreamState state={state} gap={gap} />
        <span class="live-count">{plural(feed.seen.value, 'change')}</span>
        <button type="button" class="button" aria-pressed={paused} onClick={() => (paused ? feed.resume() : feed.pause())}>
          {paused ? `Resume${feed.waiting.value > 0 ? ` (${feed.waiting.value} waiting)` : ''}` : 'Freeze'}
        </button>
        <button type="button" class="button quiet" onClick={() => feed.clear()}>
          Clear
        </button>
      </div>
      {state.kind === 'stopped' && <Problem failure={state.failure} onRetry={() => setRound(round + 1)} />}
      {feed.crowd.value !== null ? (
        <CrowdView crowd={feed.crowd.value} onFreeze={() => feed.pause()} />
      ) : feed.rows.value.length === 0 && state.kind !== 'stopped' ? (
        <Empty title="Waiting for the next delivery">
          <p>Rows appear here as events are published, tried and delivered. Send a test from a webhook’s page to see one.</p>
        </Empty>
      ) : (
        <DeliveryTable caption="Deliveries, latest change first" rows={feed.rows.value} />
      )}
    </>
  );
}

function chosenFilter() {
  const status = statusFromKey(query.peek().get('status'));
  const webhookId = query.peek().get('webhook_id');
  const eventType = query.peek().get('event_type');
  return {
    ...(status === undefined ? {} : { statuses: [status.status] }),
    ...(webhookId === null ? {} : { webhookIds: [webhookId] }),
    ...(eventType === null ? {} : { eventTypes: [eventType] }),
  };
}
