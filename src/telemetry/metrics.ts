// What is counted and measured, by the names operators see; docs/operations.md explains each one.
import type { Histogram, Meter } from '@opentelemetry/api';
import { attemptErrors, cancelCauses, shortages } from '../domain/delivery.ts';
import { errorCodes } from '../domain/errors.ts';

/**
 * Counters. Each is a plain number until a scrape: the API's own counters cost 90 to 380 ns a call, and a delivery passes
 * a dozen of them.
 */
const counters = {
  events_published_total: 'Events committed and answered.',
  events_duplicate_total: 'Publishes answered with the event that an earlier call with the same idempotency key had made.',
  payload_mismatches_total:
    'Payloads that were not what the schema of their type says: accepted by `warn`, refused by `strict`.',
  deliveries_created_total: 'Deliveries made for published events.',
  deliveries_leased_total: 'Deliveries taken from the schedule.',
  deliveries_delivered_total: 'Deliveries answered with 2xx.',
  deliveries_failed_total: 'Attempts that failed, whether they are tried again or not.',
  deliveries_gave_up_total: 'Deliveries given up.',
  deliveries_cancelled_total:
    'Deliveries cancelled, by why: their webhook was disabled or deleted, a call ended them, their deliver_before had passed, or a newer event had their collapse key.',
  deliveries_held_total:
    'Deliveries taken out of the schedule for a paused webhook. New ones are held at once and do not count.',
  held_expired_total: 'Held deliveries cancelled because they were past retention before their webhook was resumed.',
  held_trimmed_total: 'Held deliveries cancelled because their webhook held more than WEBHOOK_MAX_HELD.',
  held_released_total: 'Held deliveries that the release of a resumed webhook made due.',
  deliveries_released_total: 'Attempts broken off by a shutdown; they do not count against the receiver.',
  lease_expired_total: 'Leases that ran out because their process died or stalled: each may cost one repeated request.',
  reconcile_requeued_total: 'Due deliveries that the schedule did not know and the reconciler put back.',
  queue_junk_total: 'Members of the schedule that name no delivery, removed.',
  stale_result_total: 'Results written under a lease that had passed to another process, and therefore dropped.',
  endpoints_disabled_total: 'Webhooks that the service disabled by itself.',
  endpoints_paused_total: 'Webhooks that the service paused because they failed for too long.',
  endpoints_back_total: 'Webhooks that the service had stopped for failing, and put back to work when a probe succeeded.',
  certificates_expiring_total:
    'Webhooks found to have a certificate, of their receiver or their own, that ends within 14 days.',
  probes_total: 'Probes of webhooks that the service stopped for failing, by what came of them.',
  sums_wrong_total: 'Days of a webhook whose statistics were not what the log has, of those that are counted again.',
  http_requests_total: 'Calls answered, over every protocol.',
  realtime_dropped_total: 'Status updates dropped because their watcher was too slow.',
  store_errors_total: 'Failed calls to PostgreSQL or Redis.',
  local_shortages_total:
    'Times that a request to a receiver waited, or did not begin, for want of something of this machine’s.',
} as const;

/** Counters that are split by one label, whose values are all known: each is there from the start, at zero, so that rates are right. */
const labels: Partial<Record<CounterName, { readonly name: string; readonly values: readonly string[] }>> = {
  deliveries_failed_total: { name: 'error', values: Object.keys(attemptErrors) },
  deliveries_cancelled_total: { name: 'reason', values: cancelCauses },
  endpoints_disabled_total: { name: 'reason', values: ['gone', 'failing'] },
  endpoints_back_total: { name: 'how', values: ['enabled', 'resumed'] },
  probes_total: { name: 'result', values: ['succeeded', 'failed', 'gone', 'not_tried'] },
  payload_mismatches_total: { name: 'validation', values: ['warn', 'strict'] },
  http_requests_total: { name: 'code', values: ['ok', ...errorCodes] },
  store_errors_total: { name: 'store', values: ['database', 'redis'] },
  local_shortages_total: { name: 'resource', values: shortages },
};

const SHORT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
const LONG_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];
const SIZES = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000];

/** Without labels, because a label costs 300 ns a call on top of 150. */
const histograms = {
  publish_duration_seconds: ['From the arrival of a publish to its answer.', SHORT_SECONDS],
  commit_duration_seconds: ['One group commit of published events.', SHORT_SECONDS],
  commit_events: ['Events in one group commit.', SIZES],
  result_commit_duration_seconds: ['One group commit of outcomes.', SHORT_SECONDS],
  result_commit_rows: ['Outcomes in one group commit.', SIZES],
  claim_deliveries: ['Deliveries in one claim that found any.', SIZES],
  attempt_duration_seconds: ['One HTTP request, from the look-up to the outcome.', LONG_SECONDS],
  delivery_latency_seconds: ['From the commit of an event to the 2xx of a receiver, retries included.', LONG_SECONDS],
  first_attempt_delay_seconds: ['From the commit of an event to the start of the first attempt.', SHORT_SECONDS],
  http_request_duration_seconds: ['One call, over every protocol.', SHORT_SECONDS],
} as const;

/** Gauges that a part of the service reports when asked; a part that does not run here reports nothing. */
const gauges = {
  inflight: 'Requests to receivers in flight.',
  outbound_sockets: 'Sockets to receivers: in use, idle, or being opened.',
  outbound_waiting: 'Requests to receivers that wait for a socket.',
  secret_key_missing: '1 while deliveries wait for a key that WEBHOOK_SECRET_KEYS lacks, and two minutes after.',
  local_shortage: '1 while sockets, descriptors, memory or ports of this machine run short, and 30 s after.',
  oldest_due_age_seconds: 'How long the most overdue delivery has been waiting.',
  queue_depth: 'Deliveries in the schedule, due or not.',
  commit_queue_events: 'Published events waiting for a group commit.',
  result_queue_rows: 'Outcomes waiting for a group commit.',
  releases_running: 'Releases of held deliveries that have not ended.',
  releases_waiting: 'Those of them that wait for a receiver that fails.',
  held_deliveries: 'Deliveries held for paused webhooks; of each no more than WEBHOOK_MAX_HELD are counted.',
  held_limit_ratio:
    'What the webhook that holds most holds, with what waits behind it for its turn, as a part of WEBHOOK_MAX_HELD.',
  oldest_held_age_seconds: 'Since the oldest held delivery was made.',
  held_retention_ratio: 'The same as a part of WEBHOOK_RETENTION_DAYS: at 1 it is cancelled.',
  watchers: 'Open streams and WebSockets.',
  clock_skew_seconds: 'How far this process’s clock is from the database’s; positive when ahead.',
  scheduler_degraded:
    '1 while PostgreSQL serves the schedule: Redis is away, being filled, or shut by another worker for long.',
  database_up: '1 while PostgreSQL answers.',
  database_short: '1 while PostgreSQL refuses statements for want of disk, memory or connections, and 10 s after.',
  redis_up: '1 while Redis serves the schedule.',
} as const;

export type CounterName = keyof typeof counters;
export type HistogramName = keyof typeof histograms;
export type GaugeName = keyof typeof gauges;
export const histogramNames = Object.keys(histograms) as HistogramName[];
export const gaugeNames = Object.keys(gauges) as GaugeName[];

export interface Metrics {
  /** Adds `n`; `label` is the value of the counter's label when it has one. */
  count(name: CounterName, n?: number, label?: string): void;
  record(name: HistogramName, value: number): void;
  /** Reports a gauge through `read`, asked at each scrape; it must answer at once, from memory. The last caller's wins. */
  gauge(name: GaugeName, read: () => number): void;
  /** The present value of a counter, over all labels. */
  total(name: CounterName): number;
}

export function createMetrics(meter: Meter): Metrics {
  const totals = Object.fromEntries(Object.keys(counters).map((name) => [name, 0])) as Record<CounterName, number>;
  const byLabel = new Map<CounterName, Map<string, number>>();
  for (const [name, description] of Object.entries(counters) as [CounterName, string][]) {
    const label = labels[name];
    const values = new Map<string, number>(label?.values.map((value) => [value, 0]));
    if (label !== undefined) byLabel.set(name, values);
    meter.createObservableCounter(name, { description }).addCallback((result) => {
      if (label === undefined) result.observe(totals[name]);
      else for (const [value, n] of values) result.observe(n, { [label.name]: value });
    });
  }

  const recorders = Object.fromEntries(
    Object.entries(histograms).map(([name, [description, boundaries]]) => [
      name,
      meter.createHistogram(name, { description, advice: { explicitBucketBoundaries: [...boundaries] } }),
    ]),
  ) as unknown as Record<HistogramName, Histogram>;

  const readers = new Map<GaugeName, () => number>();
  for (const [name, description] of Object.entries(gauges) as [GaugeName, string][]) {
    meter.createObservableGauge(name, { description }).addCallback((result) => {
      const value = readers.get(name)?.();
      if (value !== undefined && Number.isFinite(value)) result.observe(value);
    });
  }

  return {
    count(name, n = 1, label) {
      totals[name] += n;
      const values = byLabel.get(name);
      if (values === undefined) return;
      // A value that is not in the list must not add a series: labels that grow without end are what kills a Prometheus.
      const value = label !== undefined && values.has(label) ? label : 'other';
      values.set(value, (values.get(value) ?? 0) + n);
    },
    record: (name, value) => recorders[name].record(value),
    gauge: (name, read) => void readers.set(name, read),
    total: (name) => totals[name],
  };
}
