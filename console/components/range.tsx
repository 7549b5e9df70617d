// How far back a page looks; kept in the address bar.
import { query, withQuery } from '../router.ts';
import { Segments } from './segments.tsx';

export interface Range {
  readonly key: string;
  readonly label: string;
  readonly spanMs: number;
}

const HOUR_MS = 3_600_000;
const day: Range = { key: '24h', label: '24 hours', spanMs: 24 * HOUR_MS };
const ranges: readonly Range[] = [
  { key: '1h', label: '1 hour', spanMs: HOUR_MS },
  day,
  { key: '7d', label: '7 days', spanMs: 7 * 24 * HOUR_MS },
  { key: '30d', label: '30 days', spanMs: 30 * 24 * HOUR_MS },
];

export function chosenRange(): Range {
  return ranges.find((range) => range.key === query.value.get('range')) ?? day;
}

export function RangeSegments() {
  const chosen = chosenRange();
  return (
    <Segments
      label="Time range"
      items={ranges.map((range) => ({
        href: withQuery({ range: range === day ? undefined : range.key }),
        label: range.label,
        current: range === chosen,
      }))}
    />
  );
}
