// Reads the three forms of an HTTP-date (RFC 9110, 5.6.7), all of which a recipient must accept.

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const LONG_DAY = '(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)';
const TIME = '(?<hours>\\d\\d):(?<minutes>\\d\\d):(?<seconds>\\d\\d)';
const FORMS = [
  new RegExp(`^${DAY}, (?<day>\\d\\d) (?<month>[A-Z][a-z]{2}) (?<year>\\d{4}) ${TIME} GMT$`),
  new RegExp(`^${LONG_DAY}, (?<day>\\d\\d)-(?<month>[A-Z][a-z]{2})-(?<year>\\d\\d) ${TIME} GMT$`),
  new RegExp(`^${DAY} (?<month>[A-Z][a-z]{2}) (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})$`),
];
/** A year of two digits that seems further ahead than this is the one a century before. */
const MAX_YEARS_AHEAD = 50;

/** Milliseconds since 1970; null for anything else, and for a moment that does not exist, such as 31 February. The weekday is not looked at. */
export function parseHttpDate(text: string, nowMs: number): number | null {
  for (const form of FORMS) {
    const parts = form.exec(text)?.groups;
    if (parts !== undefined) return momentOf(parts, new Date(nowMs).getUTCFullYear());
  }
  return null;
}

function momentOf(parts: Readonly<Record<string, string>>, thisYear: number): number | null {
  const [day, hours, minutes, seconds] = [parts['day'], parts['hours'], parts['minutes'], parts['seconds']].map(Number);
  const month = MONTHS.indexOf(parts['month'] ?? '');
  const at = Date.UTC(fullYear(parts['year'] ?? '', thisYear), month, day, hours, minutes, seconds);
  // What does not exist rolls over into a moment that does.
  const date = new Date(at);
  const exists =
    date.getUTCMonth() === month &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hours &&
    date.getUTCMinutes() === minutes &&
    date.getUTCSeconds() === seconds;
  return exists ? at : null;
}

function fullYear(text: string, thisYear: number): number {
  if (text.length === 4) return Number(text);
  const year = Math.floor(thisYear / 100) * 100 + Number(text);
  return year > thisYear + MAX_YEARS_AHEAD ? year - 100 : year;
}
