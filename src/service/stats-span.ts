// Which parts of a time the sums answer, and which the log itself.
import { DAY_MS, floor, HOUR_MS } from '../domain/time-units.ts';
import { idFloor, timeOfId } from '../domain/ids.ts';
import type { SumsPlace, LogRange } from '../persistence/queries/read-sums.ts';

/** As many bars as a chart can show. */
export const MAX_BARS = 100;

/** A time, cut into bars. */
export interface Bars {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly widthMs: number;
}

/** When each bar begins, on whole minutes, hours or days: the same delivery falls into the same bar a minute later. */
export function barStarts({ sinceMs, untilMs, widthMs }: Bars): number[] {
  const starts: number[] = [];
  for (let start = floor(sinceMs, widthMs); start < untilMs; start += widthMs) starts.push(start);
  return starts;
}

/** What the sums answer, in milliseconds since 1970. */
export interface SummedSpan {
  /** Whole days, from the first to the end of the last; none when they are equal. */
  readonly daysFromMs: number;
  readonly daysToMs: number;
  /** Whole hours before and after those days. */
  readonly hoursFromMs: number;
  readonly hoursToMs: number;
  /** The end of the hour that is counted in part, when its row may be used; else as `hoursToMs`. Who has no row in it has nothing in that part. */
  readonly rowsToMs: number;
  /** Where the log goes on: an id, and its time. */
  readonly openFrom: string;
  readonly openFromMs: number;
}

/** Days answer only for bars of days; hours for all others. */
export function summedSpan({ sinceMs, untilMs, widthMs }: Bars, place: SumsPlace): SummedSpan {
  const summedMs = timeOfId(place.hoursBelow);
  const hoursFromMs = Math.min(ceil(sinceMs, HOUR_MS), untilMs);
  const hoursToMs = Math.max(hoursFromMs, Math.min(floor(untilMs, HOUR_MS), floor(summedMs, HOUR_MS)));
  const daysFromMs = ceil(sinceMs, DAY_MS);
  const daysToMs = Math.min(floor(untilMs, DAY_MS), floor(timeOfId(place.daysBelow), DAY_MS));
  const hasDays = widthMs % DAY_MS === 0 && daysFromMs < daysToMs;
  const isPartUsed =
    hoursToMs === floor(summedMs, HOUR_MS) && summedMs < untilMs && place.hoursBelow > idFloor('delivery', hoursToMs);
  return {
    hoursFromMs,
    hoursToMs,
    daysFromMs: hasDays ? daysFromMs : 0,
    daysToMs: hasDays ? daysToMs : 0,
    rowsToMs: isPartUsed ? hoursToMs + HOUR_MS : hoursToMs,
    openFrom: isPartUsed ? place.hoursBelow : idFloor('delivery', hoursToMs),
    openFromMs: isPartUsed ? summedMs : hoursToMs,
  };
}

/** The hours of a span that no row of the sums covers. */
export function missingHours(span: SummedSpan, covered: ReadonlySet<number>): [number, number][] {
  const missing: [number, number][] = [];
  for (let hour = span.hoursFromMs; hour < span.hoursToMs; hour += HOUR_MS) {
    if (!covered.has(hour) && !(hour >= span.daysFromMs && hour < span.daysToMs)) missing.push([hour, hour + HOUR_MS]);
  }
  return missing;
}

/** What is counted in the log: what comes before the first whole hour, hours without a row, and what is not summed up yet. */
export function openRanges(span: SummedSpan, missing: readonly (readonly [number, number])[], bars: Bars): LogRange[] {
  const summed = logRanges([[bars.sinceMs, span.hoursFromMs], ...missing], bars);
  const [first, ...rest] = logRanges([[span.openFromMs, bars.untilMs]], bars);
  return first === undefined ? summed : [...summed, { ...first, from: span.openFrom }, ...rest];
}

/** Ranges of ids for stretches of time, one a bar and stretch; neighbours are read together. */
function logRanges(stretches: readonly (readonly [number, number])[], { sinceMs, widthMs }: Bars): LogRange[] {
  const first = floor(sinceMs, widthMs);
  const ranges: { bar: number; fromMs: number; belowMs: number }[] = [];
  for (const [from, to] of stretches) {
    for (let at = from; at < to;) {
      const bar = Math.floor((at - first) / widthMs);
      const end = Math.min(to, first + (bar + 1) * widthMs);
      const last = ranges.at(-1);
      if (last?.bar === bar && last.belowMs === at) last.belowMs = end;
      else ranges.push({ bar, fromMs: at, belowMs: end });
      at = end;
    }
  }
  return ranges.map(({ bar, fromMs, belowMs }) => ({
    bar,
    from: idFloor('delivery', fromMs),
    below: idFloor('delivery', belowMs),
  }));
}

function ceil(ms: number, unitMs: number): number {
  return Math.ceil(ms / unitMs) * unitMs;
}
