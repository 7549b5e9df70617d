// Counts of deliveries that were read one by one.
import type { Percentiles } from '../domain/latency-histogram.ts';
import type { StatsRows } from '../persistence/queries/webhook-stats.ts';
import { type StatusCounts, Tally } from './stats-tally.ts';

export interface ExactTally {
  readonly counts: { readonly bars: readonly StatusCounts[]; readonly all: StatusCounts };
  readonly latency: Percentiles | null;
  readonly neverTried: number;
}

export function exactTally(rows: StatsRows, bars: number): ExactTally {
  const tally = new Tally(bars);
  tally.addLog(rows.counts.map(({ bucket, status, count }) => ({ bar: bucket, status, count, bucket: null, cause: null })));
  const tried = rows.durations.reduce((sum, { count }) => sum + count, 0);
  const all = tally.counts;
  return { counts: { bars: tally.bars, all }, latency: percentiles(rows.durations), neverTried: all.total - tried };
}

/** By nearest rank: always a duration that occurred. */
function percentiles(durations: StatsRows['durations']): Percentiles | null {
  const sorted = durations.toSorted((a, b) => a.durationMs - b.durationMs);
  const total = sorted.reduce((sum, { count }) => sum + count, 0);
  if (total === 0) return null;
  const at = (fraction: number): number => {
    let rank = Math.ceil(total * fraction);
    return sorted.find(({ count }) => (rank -= count) <= 0)?.durationMs ?? 0;
  };
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
