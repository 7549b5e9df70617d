// A small strip of what happened over time: tall where much was sent, red where it failed.
import type { StatsBucket } from '../../gen/homechef/webhook/v1/webhook_pb.ts';

/** Finer than this, bars of a small strip run together. */
const MAX_BARS = 32;
const HEIGHT = 28;
const STEP = 5;
const BAR = 4;

export function Sparkline({ buckets, label }: { buckets: readonly StatsBucket[]; label: string }) {
  const bars = toBars(buckets);
  const highest = Math.max(1, ...bars.map((bar) => bar.total));
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${bars.length * STEP} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {bars.map(({ total, bad }, index) => {
        const height = total === 0 ? 1 : Math.max(2, (total / highest) * HEIGHT);
        const badHeight = bad === 0 ? 0 : Math.max(2, (bad / total) * height);
        return (
          <g key={index}>
            <rect
              class={total === 0 ? 'spark-none' : 'spark-good'}
              x={index * STEP}
              y={HEIGHT - height}
              width={BAR}
              height={height - badHeight}
            />
            {badHeight > 0 && <rect class="spark-bad" x={index * STEP} y={HEIGHT - badHeight} width={BAR} height={badHeight} />}
          </g>
        );
      })}
    </svg>
  );
}

function toBars(buckets: readonly StatsBucket[]): { total: number; bad: number }[] {
  const size = Math.ceil(buckets.length / MAX_BARS);
  const bars = Array.from({ length: Math.ceil(buckets.length / size) }, () => ({ total: 0, bad: 0 }));
  for (const [index, { counts }] of buckets.entries()) {
    const bar = bars[Math.floor(index / size)];
    if (bar === undefined || counts === undefined) continue;
    bar.total += counts.total;
    bar.bad += counts.failed + counts.retrying;
  }
  return bars;
}
