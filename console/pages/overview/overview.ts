// The overview's numbers, put together from each webhook's own statistics.
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { create } from '@bufbuild/protobuf';
import {
  type StatsBucket,
  StatsBucketSchema,
  StatusCountsSchema,
  type StatusCounts,
  type Webhook,
  type WebhookStats,
} from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { webhooks } from '../../api/client.ts';

export interface WebhookSummary {
  readonly webhook: Webhook;
  readonly stats: WebhookStats;
  /** 0: doing well. Higher is worse. */
  readonly trouble: number;
}

export interface Overview {
  /** In trouble first, then by traffic. */
  readonly summaries: readonly WebhookSummary[];
  readonly counts: StatusCounts;
  /** Delivered among those that came to an end; undefined when none has. */
  readonly successRate: number | undefined;
  /** The webhook whose 95th percentile is highest: percentiles of several webhooks cannot be added up. */
  readonly slowest: WebhookSummary | undefined;
  readonly buckets: readonly StatsBucket[];
  readonly bucketSeconds: number;
}

/** A webhook that loses more than one delivery in a hundred is in trouble; one that lost a single one of many is not. */
const TOLERATED_LOSS = 0.01;
/** Calls at once: enough to be quick, few enough to leave the browser's six connections to other pages. */
const PARALLEL_CALLS = 4;

export async function readOverview(list: readonly Webhook[], spanMs: number, signal: AbortSignal): Promise<Overview> {
  const untilMs = Date.now();
  const range = { since: timestampFromMs(untilMs - spanMs), until: timestampFromMs(untilMs) };
  const summaries: WebhookSummary[] = [];
  const waiting = [...list];
  const worker = async () => {
    for (let webhook = waiting.shift(); webhook !== undefined; webhook = waiting.shift()) {
      const stats = await webhooks.getWebhookStats({ webhookId: webhook.id, ...range }, { signal });
      summaries.push({ webhook, stats, trouble: troubleOf(webhook, stats) });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_CALLS }, worker));
  const counts = sum(summaries.map(({ stats }) => stats.counts));
  const ended = counts.delivered + counts.failed;
  return {
    summaries: summaries.toSorted(
      (a, b) => b.trouble - a.trouble || (b.stats.counts?.total ?? 0) - (a.stats.counts?.total ?? 0),
    ),
    counts,
    successRate: ended === 0 ? undefined : counts.delivered / ended,
    slowest: summaries
      .toSorted((a, b) => (b.stats.latency?.p95Ms ?? 0) - (a.stats.latency?.p95Ms ?? 0))
      .find(({ stats }) => stats.latency),
    buckets: mergeBuckets(summaries.map(({ stats }) => stats)),
    bucketSeconds: summaries[0]?.stats.bucketSeconds ?? 3600,
  };
}

/** Disabled by the service is worst, then failing now, then having lost deliveries, then being behind. */
function troubleOf(webhook: Webhook, stats: WebhookStats): number {
  const lost = stats.successRate === undefined ? 0 : 1 - stats.successRate;
  if (webhook.health !== undefined && webhook.health.disabledReason !== '') return 3;
  if (!webhook.isActive) return 0;
  if ((webhook.health?.consecutiveFailures ?? 0) > 0) return 2 + lost;
  if (lost > TOLERATED_LOSS) return 1 + lost;
  return (stats.counts?.retrying ?? 0) > 0 ? 0.5 : 0;
}

function mergeBuckets(all: readonly WebhookStats[]): StatsBucket[] {
  const byStart = new Map<bigint, StatsBucket[]>();
  for (const bucket of all.flatMap((stats) => stats.buckets)) {
    const start = bucket.start?.seconds ?? 0n;
    byStart.set(start, [...(byStart.get(start) ?? []), bucket]);
  }
  return [...byStart]
    .toSorted(([a], [b]) => Number(a - b))
    .map(([seconds, buckets]) =>
      create(StatsBucketSchema, { start: { seconds }, counts: sum(buckets.map((bucket) => bucket.counts)) }),
    );
}

function sum(all: readonly (StatusCounts | undefined)[]): StatusCounts {
  const result = create(StatusCountsSchema);
  for (const counts of all) {
    if (counts === undefined) continue;
    result.total += counts.total;
    result.pending += counts.pending;
    result.retrying += counts.retrying;
    result.delivered += counts.delivered;
    result.failed += counts.failed;
    result.cancelled += counts.cancelled;
  }
  return result;
}
