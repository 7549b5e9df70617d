// How a webhook has been doing over a time: counts, success rate, latency, and the same in buckets.
import type { PoolClient } from 'pg';
import { invalid } from '../domain/errors.ts';
import { idFloor, timeOfId } from '../domain/ids.ts';
import type { Percentiles } from '../domain/latency-histogram.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { hasMoreThan } from '../persistence/queries/delivery-at.ts';
import { countWebhookLog, readDaySums, readHourSums, readSumsPlace, type SumsPlace } from '../persistence/queries/read-sums.ts';
import { webhookStats } from '../persistence/queries/webhook-stats.ts';
import { inSnapshot } from '../persistence/transaction.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { exactTally } from './exact-tally.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';
import { DAY_MS, floor, HOUR_MS } from '../domain/time-units.ts';
import { barStarts, type Bars, MAX_BARS, missingHours, openRanges, summedSpan } from './stats-span.ts';
import { type StatusCounts, successRateOf, Tally } from './stats-tally.ts';

const DEFAULT_SPAN_MS = DAY_MS;
/** Widths that people think in. The last one makes 60 bars of 30 days. */
const BAR_SECONDS = [60, 300, 900, 3600, 10_800, 21_600, 43_200] as const;
/** A longer time has bars of whole days, which one row of the sums answers each. */
const MAX_HOURS_SPAN_MS = 25 * DAY_MS;
/** Deliveries that are read one by one: 8 ms, at 4 µs each. A webhook that had more in a time is answered from sums. */
const MAX_EXACT = 2000;
/** Deliveries read of what is not summed up yet, some 10 ms each 2,000. Where there are more, statistics end before them. */
const MAX_OPEN = 4000;
/** Behind by more than this, sums are being made for the first time, and the log is read whatever it costs. In milliseconds. */
const CATCHING_UP_MS = 3 * HOUR_MS;

export interface WebhookStats {
  readonly webhookId: string;
  readonly sinceMs: number;
  /** What was made later is not counted. */
  readonly untilMs: number;
  /** Deliveries made in that time, by their status now. */
  readonly counts: StatusCounts;
  /** Delivered among those that came to an end by being tried, from 0 to 1; null when none has. */
  readonly successRate: number | null;
  /** Milliseconds of the last attempt of each; null when there was none. */
  readonly latency: Percentiles | null;
  /** Whether `latency` was read from a histogram. */
  readonly latencyIsEstimated: boolean;
  /** Oldest first, without holes. */
  readonly buckets: readonly { readonly startMs: number; readonly counts: StatusCounts }[];
  readonly bucketSeconds: number;
  /** Deliveries for which no request was ever made. */
  readonly neverTried: number;
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
  const span = range(input, Date.now(), context.config.statsDays);
  const webhook = await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), input.webhookId);
  return context.reports.run(principal.userId, (pool) =>
    inSnapshot(pool, async (client) => {
      const place = await readSumsPlace(client);
      // A webhook that is younger than the log has all of its deliveries there.
      const isInLog = Math.max(span.sinceMs, webhook.createdAt.getTime()) >= place.logFromMs;
      const [fromId, belowId] = [idFloor('delivery', span.sinceMs), idFloor('delivery', span.untilMs)];
      const isExact = isInLog && !(await hasMoreThan(client, { fromId, belowId, webhookId: webhook.id }, MAX_EXACT));
      return isExact ? exactStats(client, webhook.id, span) : summedStats(client, webhook, span, { place, isInLog });
    }),
  );
}

interface Span {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** Every delivery is read: bars as narrow as one likes, and percentiles that occurred. */
async function exactStats(client: PoolClient, webhookId: string, span: Span): Promise<WebhookStats> {
  const bars = { ...span, widthMs: barWidthMs(span) };
  const starts = barStarts(bars);
  // The first bar begins on its round time, but counts from `since` on.
  const bounds = [span.sinceMs, ...starts.slice(1), span.untilMs].map((ms) => idFloor('delivery', ms));
  const { counts, ...rest } = exactTally(await webhookStats(client, webhookId, bounds), starts.length);
  return toStats(webhookId, bars, { ...counts, ...rest, latencyIsEstimated: false });
}

async function summedStats(
  client: PoolClient,
  webhook: { readonly id: string; readonly userId: string },
  span: Span,
  { place, isInLog }: { readonly place: SumsPlace; readonly isInLog: boolean },
): Promise<WebhookStats> {
  // Where the log is gone there is nothing finer than a day.
  const isByDay = !isInLog || span.untilMs - span.sinceMs > MAX_HOURS_SPAN_MS;
  const sinceMs = isInLog ? span.sinceMs : floor(span.sinceMs, DAY_MS);
  const widthMs = isByDay ? dayWidthMs(span) : Math.max(HOUR_MS, barWidthMs(span));
  const wanted = { sinceMs, untilMs: span.untilMs, widthMs };
  const untilMs = (await isOpenTooLong(client, webhook.id, wanted, place)) ? timeOfId(place.hoursBelow) : span.untilMs;
  const bars = { ...wanted, untilMs };
  const summed = summedSpan(bars, place);
  const firstBarMs = floor(sinceMs, widthMs);
  const subject = { webhookId: webhook.id, userId: webhook.userId };
  const days = await readDaySums(client, subject, {
    fromMs: summed.daysFromMs,
    toMs: summed.daysToMs,
    firstBarMs,
    widthMs,
  });
  const hours = await readHourSums(client, subject, {
    fromMs: summed.hoursFromMs,
    toMs: summed.rowsToMs,
    exceptFromMs: summed.daysFromMs,
    exceptToMs: summed.daysToMs,
    firstBarMs,
    widthMs,
  });
  const covered = new Set(hours.flatMap(({ startsMs }) => startsMs));
  const tally = new Tally(barStarts(bars).length);
  tally.addSums(days);
  tally.addSums(hours);
  tally.addLog(await countWebhookLog(client, webhook.id, openRanges(summed, missingHours(summed, covered), bars)));
  const { bars: counts, counts: all, latency, neverTried } = tally;
  return toStats(webhook.id, bars, { bars: counts, all, latency, latencyIsEstimated: true, neverTried });
}

/** Whether more is not summed up yet than a report may read. */
async function isOpenTooLong(client: PoolClient, webhookId: string, bars: Bars, place: SumsPlace): Promise<boolean> {
  const { openFrom, openFromMs } = summedSpan(bars, place);
  if (openFromMs <= bars.sinceMs || bars.untilMs <= openFromMs || bars.untilMs - openFromMs > CATCHING_UP_MS) return false;
  return hasMoreThan(client, { fromId: openFrom, belowId: idFloor('delivery', bars.untilMs), webhookId }, MAX_OPEN);
}

function toStats(
  webhookId: string,
  { sinceMs, untilMs, widthMs }: Bars,
  counted: {
    readonly bars: readonly StatusCounts[];
    readonly all: StatusCounts;
    readonly latency: Percentiles | null;
    readonly latencyIsEstimated: boolean;
    readonly neverTried: number;
  },
): WebhookStats {
  const { bars, all, latency, latencyIsEstimated, neverTried } = counted;
  const firstMs = floor(sinceMs, widthMs);
  return {
    webhookId,
    sinceMs,
    untilMs,
    counts: all,
    successRate: successRateOf(all),
    latency,
    latencyIsEstimated,
    buckets: bars.map((counts, index) => ({ startMs: firstMs + index * widthMs, counts })),
    bucketSeconds: widthMs / 1000,
    neverTried,
  };
}

function range(input: WebhookStatsInput, nowMs: number, statsDays: number): Span {
  const untilMs = Math.max(0, Math.ceil(input.untilMs ?? nowMs));
  const sinceMs = Math.max(0, Math.ceil(input.sinceMs ?? untilMs - DEFAULT_SPAN_MS));
  if (sinceMs >= untilMs) throw invalid('time_range_invalid', 'until', 'must be after since');
  if (untilMs - sinceMs > statsDays * DAY_MS)
    throw invalid('time_range_invalid', 'since', `must be at most ${statsDays} days before until`);
  return { sinceMs, untilMs };
}

function barWidthMs({ sinceMs, untilMs }: Span): number {
  const spanMs = untilMs - sinceMs;
  const seconds = BAR_SECONDS.find((width) => spanMs / 1000 / width <= MAX_BARS);
  return seconds === undefined ? dayWidthMs({ sinceMs, untilMs }) : seconds * 1000;
}

function dayWidthMs({ sinceMs, untilMs }: Span): number {
  return untilMs - sinceMs <= MAX_BARS * DAY_MS ? DAY_MS : 7 * DAY_MS;
}
