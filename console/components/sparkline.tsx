// A small strip of what happened over time: tall where much was sent, red where it failed.
import type { StatsBucket } from '../../gen/homechef/webhook/v1/webhook_pb.ts';

const HEIGHT = 28;
const STEP = 5;
const BAR = 4;

export function Sparkline({ buckets, label }: { buckets: readonly StatsBucket[]; label: string }) {
  const highest = Math.max(1, ...buckets.map((bucket) => bucket.counts?.total ?? 0));
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${buckets.length * STEP} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      {buckets.map((bucket, index) => {
        const total = bucket.counts?.total ?? 0;
        const bad = (bucket.counts?.failed ?? 0) + (bucket.counts?.retrying ?? 0);
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
