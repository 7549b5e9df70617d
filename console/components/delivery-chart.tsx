// Deliveries over time by status: a canvas for the eye, the same numbers as a table for all other readers.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { StatsBucket } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { count } from '../format/number.ts';
import { statuses } from '../format/status.ts';
import { clockTime, shortMoment, toDate } from '../format/time.ts';
import { theme } from '../theme.ts';
import { zone } from '../zone.ts';

export function DeliveryChart({ buckets, bucketSeconds }: { buckets: readonly StatsBucket[]; bucketSeconds: number }) {
  const holder = useRef<HTMLDivElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const chosenTheme = theme.value;
  const chosenZone = zone.value;
  useEffect(() => {
    const element = holder.current;
    if (element === null) return;
    let close: (() => void) | undefined;
    let gone = false;
    // The chart library is most of what this page would otherwise load; pages without a chart do without it.
    const draw = async () => {
      const { drawDeliveries } = await import('./delivery-chart-canvas.ts');
      if (!gone) close = drawDeliveries(element, buckets, bucketSeconds, setPointed);
    };
    void draw();
    return () => {
      gone = true;
      close?.();
    };
  }, [buckets, bucketSeconds, chosenTheme, chosenZone]);
  const shown = pointed === null ? undefined : buckets[pointed];
  return (
    <figure class="chart">
      <div ref={holder} class="chart-canvas" aria-hidden="true" />
      <p class="chart-readout" aria-hidden="true">
        {shown === undefined ? 'Point at a bar to read it.' : `${bucketSpan(shown, bucketSeconds)}: ${bucketText(shown)}`}
      </p>
      <details class="chart-table">
        <summary>Show these numbers as a table</summary>
        <div class="table-scroll" tabIndex={0} role="region" aria-label="Deliveries over time">
          <table class="plain-table">
            <thead>
              <tr>
                <th scope="col">From</th>
                {statuses.map((look) => (
                  <th key={look.key} scope="col" class="number">
                    {look.label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {buckets
                .filter((bucket) => (bucket.counts?.total ?? 0) > 0)
                .map((bucket) => (
                  <tr key={String(bucket.start?.seconds)}>
                    <th scope="row">{bucketSpan(bucket, bucketSeconds)}</th>
                    {statuses.map((look) => (
                      <td key={look.key} class="number">
                        {count(bucket.counts?.[look.key] ?? 0)}
                      </td>
                    ))}
                  </tr>
                ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

function bucketSpan(bucket: StatsBucket, bucketSeconds: number): string {
  const start = toDate(bucket.start);
  if (start === undefined) return '';
  return `${shortMoment(start, new Date())} – ${clockTime(new Date(start.getTime() + bucketSeconds * 1000))}`;
}

function bucketText(bucket: StatsBucket): string {
  const parts = statuses.flatMap((look) => {
    const amount = bucket.counts?.[look.key] ?? 0;
    return amount === 0 ? [] : [`${count(amount)} ${look.label.toLowerCase()}`];
  });
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}
