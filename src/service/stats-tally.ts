// Counts of deliveries by status, in bars, with a histogram of their durations: added up from sums and from the log.
import type { DeliveryStatus } from '../domain/delivery.ts';
import { BUCKETS, percentilesOf, type Percentiles } from '../domain/latency-histogram.ts';
import type { LogCount, SummedBar } from '../persistence/queries/read-sums.ts';

export type StatusCounts = Readonly<Record<DeliveryStatus | 'total', number>>;

export class Tally {
  readonly #bars: Record<DeliveryStatus | 'total', number>[];
  readonly #durations = Array.from({ length: BUCKETS }, () => 0);

  constructor(bars: number) {
    this.#bars = Array.from({ length: bars }, none);
  }

  addSums(bars: readonly SummedBar[]): void {
    for (const { bar, counts, durations } of bars) {
      const [total, retrying, delivered, failed, cancelled] = counts;
      const pending = total - retrying - delivered - failed - cancelled;
      add(this.#bars[bar], { total, pending, retrying, delivered, failed, cancelled });
      for (const [bucket, count] of durations.entries()) this.#durations[bucket] = (this.#durations[bucket] ?? 0) + count;
    }
  }

  addLog(counts: readonly LogCount[]): void {
    for (const { bar, status, bucket, count } of counts) {
      add(this.#bars[bar], { ...none(), total: count, [status]: count });
      if (bucket !== null) this.#durations[bucket] = (this.#durations[bucket] ?? 0) + count;
    }
  }

  get bars(): readonly StatusCounts[] {
    return this.#bars;
  }

  get counts(): StatusCounts {
    const all = none();
    for (const bar of this.#bars) add(all, bar);
    return all;
  }

  get latency(): Percentiles | null {
    return percentilesOf(this.#durations);
  }

  /** Deliveries without a request: each that was tried has the duration of its last attempt. */
  get neverTried(): number {
    return this.counts.total - this.#durations.reduce((sum, count) => sum + count, 0);
  }
}

/** Delivered among those that came to an end by being tried, from 0 to 1; null when none has. */
export function successRateOf({ delivered, failed }: StatusCounts): number | null {
  return delivered + failed === 0 ? null : delivered / (delivered + failed);
}

const none = (): Record<DeliveryStatus | 'total', number> => ({
  total: 0,
  pending: 0,
  retrying: 0,
  delivered: 0,
  failed: 0,
  cancelled: 0,
});

function add(to: Record<DeliveryStatus | 'total', number> | undefined, counts: StatusCounts): void {
  if (to === undefined) return;
  for (const key of Object.keys(to) as (keyof StatusCounts)[]) to[key] += counts[key];
}
