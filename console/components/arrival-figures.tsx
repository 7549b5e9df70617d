// The headline of every page with numbers: what arrived, what did not, and how fast. Nothing is left out of either.
import type { LatencyPercentiles, StatusCounts } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { count, percent, shortCount } from '../format/number.ts';
import { duration } from '../format/time.ts';
import type { Figure } from './figures.tsx';

interface Numbers {
  readonly counts: StatusCounts;
  readonly neverTried: number;
  readonly latency?: LatencyPercentiles | undefined;
}

export function arrivalFigures({ counts, neverTried, latency }: Numbers, total: string): readonly Figure[] {
  const { delivered, failed, cancelled } = counts;
  const ended = delivered + failed + cancelled;
  return [
    { label: 'Deliveries', value: shortCount(counts.total), note: total },
    {
      label: 'Arrived',
      value: ended === 0 ? '–' : percent(delivered / ended),
      note: ended === 0 ? 'nothing has come to an end' : `${count(delivered)} of ${count(ended)} that ended`,
      tone: ended > delivered ? 'bad' : undefined,
    },
    {
      label: 'Did not arrive',
      value: shortCount(counts.total - delivered),
      note: missing({ counts, neverTried }),
      tone: ended > delivered ? 'bad' : undefined,
    },
    {
      label: 'Latency, p95',
      value: latency === undefined ? '–' : duration(latency.p95Ms),
      note:
        latency === undefined
          ? 'no request was made'
          : `half within ${duration(latency.p50Ms)}, p99 ${duration(latency.p99Ms)}`,
    },
  ];
}

/** Of those that did not arrive: what became of them, or has not yet, and how many no request was made for. */
function missing({ counts, neverTried }: Pick<Numbers, 'counts' | 'neverTried'>): string {
  const parts: readonly (readonly [number, string])[] = [
    [counts.failed, 'given up'],
    [counts.cancelled, 'cancelled'],
    [counts.retrying, 'retrying'],
    [counts.pending, 'pending'],
    [neverTried, 'never tried'],
  ];
  const named = parts.filter(([amount]) => amount > 0).map(([amount, what]) => `${count(amount)} ${what}`);
  return named.length === 0 ? 'everything arrived' : named.join(' · ');
}
