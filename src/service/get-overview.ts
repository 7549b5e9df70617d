// How all webhooks of a caller do over a time: totals, causes, and the webhooks in trouble with their reason.
import type { PoolClient } from 'pg';
import { invalid } from '../domain/errors.ts';
import { idFloor, timeOfId } from '../domain/ids.ts';
import type { Percentiles } from '../domain/latency-histogram.ts';
import type { Owner } from '../persistence/entities/owner.ts';
import { WebhookEndpoint } from '../persistence/entities/webhook-endpoint.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { hasMoreThan } from '../persistence/queries/delivery-at.ts';
import {
  countWebhooks,
  readCauses,
  type FailureGroup,
  readCausesOf,
  readFailureGroups,
  readUsedHours,
  readWorst,
  type WebhookCounts,
} from '../persistence/queries/overview.ts';
import { countOpenLog, earlier, readHourSums, readSumsPlace, type TroubledWebhook } from '../persistence/queries/read-sums.ts';
import { MANY_WEBHOOKS } from '../persistence/queries/sum-log.ts';
import { inSnapshot } from '../persistence/transaction.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { listedOwner } from './owner.ts';
import { DAY_MS, floor, HOUR_MS } from '../domain/time-units.ts';
import { barStarts, MAX_BARS, missingHours, openRanges, summedSpan } from './stats-span.ts';
import { type StatusCounts, successRateOf, Tally } from './stats-tally.ts';
import { type WebhookView, webhookViews } from './webhook-view.ts';

/** Sums of hours are read, 720 rows for so long. */
const MAX_SPAN_DAYS = 30;
/** Webhooks in trouble are looked for so far back: 0.3 µs for each hour of each. */
const WORST_SPAN_MS = 7 * DAY_MS;
/** Failures are grouped so far back: a row for each hour of each webhook in trouble. */
const GROUPS_SPAN_MS = DAY_MS;
const DEFAULT_WORST = 20;
const BAR_HOURS = [1, 3, 6, 12] as const;
/** Deliveries read of what is not summed up yet, 1 to 2 µs each. Where there are more, the overview ends before them. */
const MAX_OPEN = 15_000;

export interface OverviewInput {
  readonly sinceMs: number | null;
  /** Empty: all the caller may see. */
  readonly userId: string;
  /** 0 means the default. */
  readonly limit: number;
}

export interface FailureCause {
  readonly cause: string;
  readonly deliveries: number;
}

export interface Overview {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly counts: StatusCounts;
  readonly successRate: number | null;
  readonly latency: Percentiles | null;
  readonly buckets: readonly { readonly startMs: number; readonly counts: StatusCounts }[];
  readonly bucketSeconds: number;
  /** Most frequent first. */
  readonly causes: readonly FailureCause[];
  readonly worst: readonly {
    readonly webhook: WebhookView;
    readonly failed: number;
    readonly retrying: number;
    readonly cause: FailureCause | null;
    readonly oldestRetryingMs: number | null;
  }[];
  readonly webhooks: WebhookCounts;
  /** Deliveries for which no request was ever made. */
  readonly neverTried: number;
  /** By host and cause; the most deliveries first. */
  readonly failures: readonly FailureGroup[];
}

export async function getOverview(context: ManagementContext, principal: Principal, input: OverviewInput): Promise<Overview> {
  const nowMs = Date.now();
  const askedMs = input.sinceMs ?? nowMs - DAY_MS;
  if (askedMs >= nowMs) throw invalid('time_range_invalid', 'since', 'must be in the past');
  if (nowMs - askedMs > MAX_SPAN_DAYS * DAY_MS + HOUR_MS)
    throw invalid('time_range_invalid', 'since', `must be at most ${MAX_SPAN_DAYS} days ago`);
  const owner = listedOwner(principal, input.userId);
  const sinceMs = floor(Math.max(0, askedMs), HOUR_MS);
  const read = await context.reports.run(principal.userId, (pool) =>
    inSnapshot(pool, (client) => readAll(client, 'everyone' in owner ? null : owner.userId, sinceMs, nowMs)),
  );
  const { troubled, ...overview } = read;
  return { ...overview, worst: await worstOf(context, owner, { ...read, limit: input.limit || DEFAULT_WORST, troubled }) };
}

type Read = Omit<Overview, 'worst'> & { readonly troubled: readonly TroubledWebhook[] };

async function readAll(client: PoolClient, userId: string | null, sinceMs: number, nowMs: number): Promise<Read> {
  const place = await readSumsPlace(client);
  const webhooks = await countWebhooks(client, userId);
  const widthMs = HOUR_MS * (BAR_HOURS.find((hours) => (nowMs - sinceMs) / HOUR_MS / hours <= MAX_BARS) ?? 12);
  // What is not summed up yet is read in the order of ids, of all users; of a user with few webhooks, webhook by webhook.
  const isByWebhook = userId !== null && webhooks.total <= MANY_WEBHOOKS;
  const unsummed = { fromId: openFrom(place.hoursBelow, sinceMs), belowId: idFloor('delivery', nowMs), webhookId: null };
  const isOpenTooLong = !isByWebhook && (await hasMoreThan(client, unsummed, MAX_OPEN));
  const untilMs = isOpenTooLong ? Math.max(sinceMs + 1, timeOfId(place.hoursBelow)) : nowMs;
  const bars = { sinceMs, untilMs, widthMs };
  const span = summedSpan(bars, place);
  const firstBarMs = floor(sinceMs, widthMs);
  const hours = await readHourSums(
    client,
    { webhookId: '', userId: userId ?? '' },
    { fromMs: sinceMs, toMs: span.rowsToMs, exceptFromMs: 0, exceptToMs: 0, firstBarMs, widthMs },
  );
  const missing =
    userId === null
      ? []
      : await hoursWithout(
          client,
          span,
          hours.flatMap(({ startsMs }) => startsMs),
        );
  const open = await countOpenLog(
    client,
    { userId, isByWebhook: isByWebhook || missing.length > 0 },
    openRanges(span, missing, bars),
  );
  const tally = new Tally(barStarts(bars).length);
  tally.addSums(hours);
  tally.addLog(open.counts);
  const causes = await readCauses(client, userId, sinceMs, span.rowsToMs);
  for (const { cause, count } of open.counts) if (cause !== null) add(causes, cause, count);
  const worst = await readWorst(client, userId, Math.max(sinceMs, untilMs - WORST_SPAN_MS), span.rowsToMs);
  const openFailures = open.troubled.flatMap(({ webhookId, causes: of }) =>
    Object.entries(of).map(([cause, deliveries]) => ({ webhookId, cause, deliveries })),
  );
  const grouped = { fromMs: Math.max(sinceMs, untilMs - GROUPS_SPAN_MS), toMs: span.rowsToMs };
  const failures = await readFailureGroups(client, userId, grouped, openFailures);
  const { counts, neverTried } = tally;
  return {
    sinceMs,
    untilMs,
    counts,
    successRate: successRateOf(counts),
    latency: tally.latency,
    buckets: tally.bars.map((bar, index) => ({ startMs: firstBarMs + index * widthMs, counts: bar })),
    bucketSeconds: widthMs / 1000,
    causes: mostFrequentFirst(causes),
    troubled: together(worst, open.troubled),
    webhooks,
    neverTried,
    failures,
  };
}

/** Where the log goes on that no sums cover. */
function openFrom(hoursBelow: string, sinceMs: number): string {
  const since = idFloor('delivery', sinceMs);
  return hoursBelow > since ? hoursBelow : since;
}

/** The hours of a user without a row, in which any user had a delivery. */
async function hoursWithout(
  client: PoolClient,
  span: ReturnType<typeof summedSpan>,
  covered: readonly number[],
): Promise<[number, number][]> {
  const missing = missingHours(span, new Set(covered));
  if (missing.length === 0) return [];
  const used = await readUsedHours(client, span.hoursFromMs, span.hoursToMs);
  return missing.filter(([hour]) => used.has(hour));
}

function together(summed: readonly TroubledWebhook[], open: readonly TroubledWebhook[]): TroubledWebhook[] {
  const all = new Map(summed.map((webhook) => [webhook.webhookId, webhook]));
  for (const { webhookId, failed, retrying, causes, oldestRetryingMs } of open) {
    const found = all.get(webhookId);
    all.set(webhookId, {
      webhookId,
      failed: failed + (found?.failed ?? 0),
      retrying: retrying + (found?.retrying ?? 0),
      oldestRetryingMs: earlier(found?.oldestRetryingMs ?? null, oldestRetryingMs),
      causes,
    });
  }
  return [...all.values()].toSorted(
    (a, b) => b.failed + b.retrying - a.failed - a.retrying || (a.webhookId < b.webhookId ? -1 : 1),
  );
}

/** Deleted webhooks are not named: nothing is to be done about them. */
async function worstOf(
  context: ManagementContext,
  owner: Owner,
  { troubled, sinceMs, untilMs, limit }: Read & { readonly limit: number },
): Promise<Overview['worst']> {
  if (troubled.length === 0) return [];
  const candidates = troubled.slice(0, 2 * limit);
  const manager = entityManagerOf(context.orm, owner);
  const entities = await manager.find(WebhookEndpoint, {
    id: { $in: candidates.map(({ webhookId }) => webhookId) },
    deletedAt: null,
  });
  const byId = new Map((await webhookViews(context, entities)).map((view) => [view.id, view]));
  const named = candidates.filter(({ webhookId }) => byId.has(webhookId)).slice(0, limit);
  const fromMs = Math.max(sinceMs, untilMs - WORST_SPAN_MS);
  const keys = named.map(({ webhookId }) => ({ id: webhookId, userId: byId.get(webhookId)?.userId ?? '' }));
  const causes = await inSnapshot(context.pool, (client) => readCausesOf(client, keys, fromMs, untilMs));
  return named.flatMap(({ webhookId, failed, retrying, oldestRetryingMs, causes: open }) => {
    const webhook = byId.get(webhookId);
    if (webhook === undefined) return [];
    const all = new Map(Object.entries(causes.get(webhookId) ?? {}));
    for (const [name, count] of Object.entries(open)) add(all, name, count);
    const [cause = null] = mostFrequentFirst(all);
    return [{ webhook, failed, retrying, cause, oldestRetryingMs }];
  });
}

function add(causes: Map<string, number>, cause: string, count: number): void {
  causes.set(cause, (causes.get(cause) ?? 0) + count);
}

function mostFrequentFirst(causes: ReadonlyMap<string, number>): FailureCause[] {
  return [...causes]
    .map(([cause, deliveries]) => ({ cause, deliveries }))
    .toSorted((a, b) => b.deliveries - a.deliveries || (a.cause < b.cause ? -1 : 1));
}
