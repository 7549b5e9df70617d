// Moments and durations as people read them, in the reader's language, and in the zone of their choice.
import { type Timestamp, timestampDate } from '@bufbuild/protobuf/wkt';
import { type Zone, zone } from '../zone.ts';

const minutes: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
const seconds: Intl.DateTimeFormatOptions = { ...minutes, second: '2-digit' };
const day: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short' };

/** One formatter for each zone, made when it is first needed. */
function inZone(options: Intl.DateTimeFormatOptions): (date: Date) => string {
  const made: Partial<Record<Zone, Intl.DateTimeFormat>> = {};
  return (date) => {
    const chosen = zone.value;
    made[chosen] ??= new Intl.DateTimeFormat(undefined, chosen === 'utc' ? { ...options, timeZone: 'UTC' } : options);
    return made[chosen].format(date);
  };
}

const clock = inZone(seconds);
const preciseClock = inZone({ ...seconds, fractionalSecondDigits: 3 });
const dayAndClock = inZone({ ...day, ...seconds });
const dayAndPreciseClock = inZone({ ...day, ...seconds, fractionalSecondDigits: 3 });
const yearDayAndClock = inZone({ ...day, year: 'numeric', ...minutes });
const full = inZone({
  ...seconds,
  year: 'numeric',
  month: 'long',
  day: 'numeric',
  fractionalSecondDigits: 3,
  timeZoneName: 'short',
});
const calendarDay = inZone({ year: 'numeric', month: '2-digit', day: '2-digit' });
const hourAndMinute = inZone(minutes);
const dayOfMonth = inZone(day);
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'long' });

export function toDate(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp === undefined ? undefined : timestampDate(timestamp);
}

/** As short as it can be without becoming ambiguous: the time today, the day before that. `isPrecise`: to the millisecond. */
export function shortMoment(date: Date, now: Date, isPrecise = false): string {
  if (calendarDay(date) === calendarDay(now)) return isPrecise ? preciseClock(date) : clock(date);
  if (now.getTime() - date.getTime() > YEAR_MS / 2) return yearDayAndClock(date);
  return isPrecise ? dayAndPreciseClock(date) : dayAndClock(date);
}

const YEAR_MS = 365 * 86_400_000;

export function clockTime(date: Date): string {
  return clock(date);
}

/** The time of day on an axis, and the date where a new day begins. */
export function axisLabel(date: Date): string {
  const time = hourAndMinute(date);
  return time === '00:00' ? dayOfMonth(date) : time;
}

/** With day, milliseconds and zone, for when it matters. */
export function fullMoment(date: Date): string {
  return full(date);
}

const STEPS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
];

/** "3 minutes ago". */
export function ago(date: Date, nowMs: number): string {
  const away = Math.round((date.getTime() - nowMs) / 1000);
  const [unit, size] = STEPS.find(([, step]) => Math.abs(away) >= step) ?? ['second', 1];
  return relative.format(Math.trunc(away / size), unit);
}

/** How long something took: "84 ms", "1.2 s". */
export function duration(ms: number): string {
  if (ms < 1) return `${ms === 0 ? 0 : ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return span(ms);
}

/** How long something lasts: "45 s", "2 min 10 s", "3 h 5 min", "2 d 4 h". */
export function span(ms: number): string {
  const whole = Math.max(0, Math.round(ms / 1000));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(whole, 60, 'min', 's');
  if (whole < 86_400) return pair(Math.round(whole / 60), 60, 'h', 'min');
  return pair(Math.round(whole / 3600), 24, 'd', 'h');
}

function pair(amount: number, size: number, large: string, small: string): string {
  const rest = amount % size;
  return rest === 0 ? `${Math.floor(amount / size)} ${large}` : `${Math.floor(amount / size)} ${large} ${rest} ${small}`;
}
