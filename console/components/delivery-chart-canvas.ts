// The drawing of the delivery chart: stacked bars by status, in the colours of the present theme.
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { StatsBucket } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { statuses } from '../format/status.ts';
import { axisLabel } from '../format/time.ts';
import { zone } from '../zone.ts';

const HEIGHT_PX = 240;
const FONT = '12px "Instrument Sans Variable", system-ui, sans-serif';

/** Draws into `element` and follows its width; returns what removes it. */
export function drawDeliveries(
  element: HTMLElement,
  buckets: readonly StatsBucket[],
  bucketSeconds: number,
  onPoint: (index: number | null) => void,
): () => void {
  const starts = buckets.map((bucket) => Number(bucket.start?.seconds ?? 0n));
  const colour = (name: string) => resolvedColour(element, name);
  // Each series is drawn as the sum of itself and all below it, highest first, so that the lower ones cover its foot.
  const stacked = statuses.map((_, level) =>
    buckets.map((bucket) => statuses.slice(0, level + 1).reduce((sum, look) => sum + (bucket.counts?.[look.key] ?? 0), 0)),
  );
  const bars = uPlot.paths.bars?.({ size: [0.78, 48], align: 1 });
  const axis: uPlot.Axis = {
    stroke: colour('--ink-2'),
    font: FONT,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  };
  const chart = new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT_PX,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      tzDate: (second) => (zone.peek() === 'utc' ? uPlot.tzDate(new Date(second * 1000), 'Etc/UTC') : new Date(second * 1000)),
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { range: () => [starts[0] ?? 0, (starts.at(-1) ?? 0) + bucketSeconds] },
        y: { range: (_, __, highest) => [0, Math.max(4, highest * 1.08)] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 72,
          size: 30,
          values: (_, splits) => splits.map((split) => axisLabel(new Date(split * 1000))),
        },
        {
          ...axis,
          size: 44,
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000, 100_000, 1_000_000],
        },
      ],
      series: [
        {},
        ...statuses
          .map((look): uPlot.Series => ({
            label: look.label,
            fill: colour(`--${look.key}`),
            width: 0,
            points: { show: false },
            ...(bars === undefined ? {} : { paths: bars }),
          }))
          .toReversed(),
      ],
      hooks: {
        setCursor: [
          (self) => {
            const left = self.cursor.left ?? -1;
            onPoint(left < 0 ? null : bucketAt(starts, self.posToVal(left, 'x')));
          },
        ],
      },
    },
    [starts, ...stacked.toReversed()],
    element,
  );
  const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
  observer.observe(element);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  const recolour = () => {
    const amount = statuses.length;
    statuses.forEach((look, index) => {
      const series = chart.series[amount - index];
      const fill = colour(`--${look.key}`);
      if (series !== undefined) series.fill = () => fill;
    });
    const ink = colour('--ink-2');
    for (const each of chart.axes) each.stroke = () => ink;
    chart.redraw();
  };
  scheme.addEventListener('change', recolour);
  return () => {
    observer.disconnect();
    scheme.removeEventListener('change', recolour);
    chart.destroy();
  };
}

function bucketAt(starts: readonly number[], at: number): number | null {
  const index = starts.findLastIndex((start) => start <= at);
  return index < 0 ? null : index;
}

/** A custom property as a colour that a canvas understands: `light-dark()` is not one. */
function resolvedColour(element: HTMLElement, property: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${property})`;
  element.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}
