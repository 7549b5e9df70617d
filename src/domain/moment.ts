// Times as callers write them: RFC 3339.

/** Whether the day and the hour of an RFC 3339 time exist. JavaScript makes 2 March of 30 February, and midnight of 24:00. */
export function namesMoment(text: string): boolean {
  const [, year, month, day, hour] = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):/.exec(text) ?? [];
  if (hour === undefined) return false;
  // The same days in every 400 years; Date takes two-digit years for those of 1900.
  const lastDay = new Date(Date.UTC(2000 + (Number(year) % 400), Number(month), 0)).getUTCDate();
  return Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= lastDay && Number(hour) <= 23;
}
