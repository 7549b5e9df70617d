// Lengths of time, and where the one that a moment lies in begins. All in milliseconds.

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** The last multiple of a unit that is not after a moment since 1970. */
export function floor(ms: number, unitMs: number): number {
  return Math.floor(ms / unitMs) * unitMs;
}
