// How fast a release makes deliveries due.

/** Deliveries a second when neither the call nor the webhook names a rate: a small receiver that was away is not to be flooded. */
const USUAL_RATE = 50;

/** Deliveries a second: as asked, or the webhook's own rate limit (0: it has none), or the usual. */
export function rateOf(asked: number | null, rateLimit: number): number {
  return asked ?? (rateLimit > 0 ? rateLimit : USUAL_RATE);
}
