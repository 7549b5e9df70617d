// How many deliveries are in each status: one bar for the shares, a legend for the numbers.
import type { StatusCounts } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { count, percent } from '../format/number.ts';
import { statuses } from '../format/status.ts';
import { StatusGlyph } from './status-mark.tsx';

export type Counts = Pick<StatusCounts, 'total' | 'delivered' | 'retrying' | 'failed' | 'pending' | 'cancelled'>;

export function StatusLegend({ counts, hrefOf }: { counts: Counts; hrefOf: (key: string) => string }) {
  return (
    <ul class="legend">
      {statuses.map((look) => (
        <li key={look.key}>
          <a
            href={hrefOf(look.key)}
            title={counts.total === 0 ? look.meaning : `${percent(counts[look.key] / counts.total)}. ${look.meaning}`}
          >
            <StatusGlyph look={look} />
            {look.label} <b>{count(counts[look.key])}</b>
          </a>
        </li>
      ))}
    </ul>
  );
}
