// How a webhook has been doing over a time: counts, success rate, latency, and the same in buckets.
import type { DeliveryStatus } from '../domain/delivery.ts';
import { invalid } from '../domain/errors.ts';
import { idFloor } from '../domain/ids.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { type StatsRows, webhookStats } from '../persistence/queries/webhook-stats.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';

const DEFAULT_SPAN_MS = 86_400_000;
/** What retention keeps by default; a longer scan would read partitions that are mostly gone. */
const MAX_SPAN_MS = 30 * 86_400_000;
/** As many bars as a chart can show. */
const MAX_BUCKETS = 100;
/** Widths that people think in. The last one makes 60 buckets of 30 days. */
const BUCKET_SECONDS = [60, 300, 900, 3600, 10_800, 21_600, 43_200] as const;

export type StatusCounts = Readonly<Record<DeliveryStatus | 'total', number>>;

export interface WebhookStats {
  readonly webhookId: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Deliveries made in that time, by their status now. */
  readonly counts: StatusCounts;
  /** Delivered among those that came to an end by being tried, from 0 to 1; null when none has. */
  readonly successRate: number | null;
  /** Milliseconds of the last attempt of each; null when there was none. */
  readonly latency: { readonly p50: number; readonly p95: number; readonly p99: number } | null;
  /** Oldest first, without holes. */
  readonly buckets: readonly { readonly startMs: number; readonly counts: StatusCounts }[];
  readonly bucketSeconds: number;
}

export interface WebhookStatsInput {
  readonly webhookId: string;
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

export async function getWebhookStats(
  context: ManagementContext,
  principal: Principal,
  input: WebhookStatsInput,
): Promise<WebhookStats> {
  const { sinceMs, untilMs } = range(input, Date.now());
  const webhook = await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), input.webhookId);
  const bucketSeconds = bucketWidth(untilMs - sinceMs);
  const starts = bucketStarts(sinceMs, untilMs, bucketSeconds * 1000);
  // The first bucket begins on its round time, but counts from `since` on.
  const bounds = [sinceMs, ...starts.slice(1), untilMs].map((ms) => idFloor('delivery', ms));
  const rows = await context.reports.run(principal.userId, (pool) => webhookStats(pool, webhook.id, bounds));
  const buckets = starts.map((startMs, index) => ({ startMs, counts: countsOf(rows, index) }));
  const counts = countsOf(rows);
  const ended = counts.delivered + counts.failed;
  return {
    webhookId: webhook.id,
    sinceMs,
    untilMs,
    counts,
    successRate: ended === 0 ? null : counts.delivered / ended,
    latency: percentiles(rows.durations),
    buckets,
    bucketSeconds,
  };
}

function range(input: WebhookStatsInput, nowMs: number): { sinceMs: number; untilMs: number } {
  const untilMs = Math.max(0, Math.ceil(input.untilMs ?? nowMs));
  const sinceMs = Math.max(0, Math.ceil(input.sinceMs ?? untilMs - DEFAULT_SPAN_MS));
  if (sinceMs >= untilMs) throw invalid('time_range_invalid', 'until', 'must be after since');
  if (untilMs - sinceMs > MAX_SPAN_MS) throw invalid('time_range_invalid', 'since', 'must be at most 30 days before until');
  return { sinceMs, untilMs };
}

function bucketWidth(spanMs: number): number {
  return (
    BUCKET_SECONDS.find((seconds) => spanMs / 1000 / seconds <= MAX_BUCKETS) ?? BUCKET_SECONDS[BUCKET_SECONDS.length - 1] ?? 60
  );
}

// On whole minutes, hours or half days, so that the same delivery falls into the same bucket a minute later.
function bucketStarts(sinceMs: number, untilMs: number, widthMs: number): number[] {
  const starts: number[] = [];
  for (let start = Math.floor(sinceMs / widthMs) * widthMs; start < untilMs; start += widthMs) starts.push(start);
  return starts;
}

function countsOf(rows: StatsRows, bucket?: number): StatusCounts {
  const counts = { total: 0, pending: 0, retrying: 0, delivered: 0, failed: 0, cancelled: 0 };
  for (const row of rows.counts) {
    if (bucket !== undefined && row.bucket !== bucket) continue;
    counts[row.status] += row.count;
    counts.total += row.count;
  }
  return counts;
}

/** By nearest rank: always a duration that occurred. */
function percentiles(durations: StatsRows['durations']): WebhookStats['latency'] {
  const sorted = durations.toSorted((a, b) => a.durationMs - b.durationMs);
  const total = sorted.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return null;
  const at = (fraction: number): number => {
    let rank = Math.ceil(total * fraction);
    return sorted.find(({ count }) => (rank -= count) <= 0)?.durationMs ?? 0;
  };
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
