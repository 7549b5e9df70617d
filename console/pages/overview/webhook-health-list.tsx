// Every webhook with how it does, those in trouble first.
import { Sparkline } from '../../components/sparkline.tsx';
import { WebhookUrl } from '../../components/webhook-name.tsx';
import { stateOf, WebhookState } from '../../components/webhook-state.tsx';
import { nowMs } from '../../clock.ts';
import { percent, plural } from '../../format/number.ts';
import { duration } from '../../format/time.ts';
import type { WebhookSummary } from './overview.ts';

export function WebhookHealthList({ summaries }: { summaries: readonly WebhookSummary[] }) {
  return (
    <section class="panel" aria-labelledby="overview-webhooks">
      <div class="panel-head">
        <h2 id="overview-webhooks">Webhooks, those in trouble first</h2>
        <a href="/webhooks">All webhooks</a>
      </div>
      <ul class="health-list">
        {summaries.map((summary) => (
          <HealthRow key={summary.webhook.id} summary={summary} />
        ))}
      </ul>
    </section>
  );
}

function HealthRow({ summary: { webhook, stats } }: { summary: WebhookSummary }) {
  const total = stats.counts?.total ?? 0;
  return (
    <li>
      <a class="health-row" href={`/webhooks/${webhook.id}`}>
        <span class="health-name">
          <WebhookUrl url={webhook.url} />
          <span class="health-detail">
            {stateOf(webhook, nowMs.peek()).detail || webhook.description || plural(webhook.events.length, 'event type')}
          </span>
        </span>
        <WebhookState webhook={webhook} />
        <Sparkline buckets={stats.buckets} label={`${plural(total, 'delivery', 'deliveries')} in this time`} />
        <span class="health-number">
          <b>{stats.successRate === undefined ? '–' : percent(stats.successRate)}</b>
          <span>success</span>
        </span>
        <span class="health-number">
          <b>{stats.latency === undefined ? '–' : duration(stats.latency.p95Ms)}</b>
          <span>p95</span>
        </span>
      </a>
    </li>
  );
}
