// Which webhooks the schedule in PostgreSQL has put off, because their receivers are away, and until when.

/**
 * ms between two probes of a process, on average: two hundred a second. A probe that is refused is quick, one that hangs takes a place. With
 * 2,000 webhooks whose receivers are away each is probed as often as its lane asks, every ten seconds; with 20,000 every hundred.
 */
const PROBE_EVERY_MS = 5;
/** ms. A webhook whose probe was due so long ago has nothing that waits, or another process has taken it. */
const MEMORY_MS = 10_000;
/** Remembered at once, a hundred bytes each; the one put off longest ago goes first. */
const MAX_AWAY = 50_000;
/** Webhooks whose probes a claim may take: in a claim of five hundred they leave three quarters to others. */
export const MAX_PROBES_PER_CLAIM = 125;

export class AwayWebhooks {
  readonly #until = new Map<string, number>();

  /**
   * Until when a webhook is put off whose receiver was found away: as its lane asks, or longer when many are away.
   * @param askedMs as all others by PostgreSQL's clock, in milliseconds since 1970
   */
  putOff(webhookId: string, askedMs: number, nowMs: number): number {
    this.#forgetPast(nowMs);
    this.#until.delete(webhookId);
    const untilMs = Math.ceil(Math.max(askedMs, nowMs + this.#until.size * PROBE_EVERY_MS));
    this.#until.set(webhookId, untilMs);
    return untilMs;
  }

  isPutOff(webhookId: string, byMs: number): boolean {
    return (this.#until.get(webhookId) ?? 0) > byMs;
  }

  /** Whether a delivery that was claimed is the probe of such a webhook. From then on its outcome decides. */
  takeProbe(webhookId: string): boolean {
    return this.#until.delete(webhookId);
  }

  /** Those whose probe is due by then. */
  *due(byMs: number): Generator<string> {
    this.#forgetPast(byMs);
    for (const [webhookId, untilMs] of this.#until) if (untilMs <= byMs) yield webhookId;
  }

  /** When one of its deliveries may be due again that was given back. */
  dueAtMs(webhookId: string, askedMs: number): number {
    return Math.max(askedMs, this.#until.get(webhookId) ?? 0);
  }

  // In the order in which they were put off, which is about the order in which that ends.
  #forgetPast(nowMs: number): void {
    for (const [webhookId, untilMs] of this.#until) {
      if (untilMs + MEMORY_MS > nowMs && this.#until.size < MAX_AWAY) return;
      this.#until.delete(webhookId);
    }
  }
}
