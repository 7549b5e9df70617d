// A webhook holds a limited number of deliveries: the leader measures what is held, and what waits behind that for its turn, and ends the oldest beyond
// the limit.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { MAX_EXPIRED_AT_ONCE, trimHeld } from '../persistence/queries/expire-held.ts';
import { measureHeld, youngestBeyond } from '../persistence/queries/measure-held.ts';

/** Between two measurements: a webhook is above its limit by the events of a minute at the most. Counting a million takes some 200 ms. */
const INTERVAL_MS = 60_000;

export interface HeldLimitOptions {
  readonly pool: Pool;
  /** Of one webhook: held deliveries, and those that wait behind them. */
  readonly maxHeldPerWebhook: number;
  readonly isLeading: () => boolean;
  /** Called for each batch that was cancelled, after its commit. */
  readonly onTrimmed: (deliveries: readonly DeliveryRow[]) => void;
  readonly onError: (error: unknown) => void;
}

export class HeldLimit implements LongRunning {
  readonly name = 'held-limit';
  readonly #options: HeldLimitOptions;
  readonly #task: PeriodicTask;
  /** NaN: not measured by this process. */
  #held = Number.NaN;
  #oldestSeconds = Number.NaN;
  #fullest = Number.NaN;

  constructor(options: HeldLimitOptions) {
    this.#options = options;
    this.#task = new PeriodicTask(() => this.run(), INTERVAL_MS, options.onError);
  }

  /** Held deliveries of all webhooks; of each no more than the limit is counted. */
  get held(): number {
    return this.#held;
  }

  /** Since the oldest of them was made; 0 when there is none. */
  get oldestSeconds(): number {
    return this.#oldestSeconds;
  }

  /** How much of the limit the webhook that holds most has used, from 0 to 1. */
  get fullest(): number {
    return this.#fullest;
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  /** One measurement, by the leader alone. */
  async run(): Promise<void> {
    const { pool, maxHeldPerWebhook: limit } = this.#options;
    let [held, oldest, most] = [0, 0, 0];
    for (let afterId = ''; ;) {
      if (!this.#mayGoOn) return this.#forget();
      const page = await measureHeld(pool, afterId, limit);
      for (const webhook of page) {
        const kept = webhook.held + webhook.waiting;
        if (kept > limit) await this.#trim(webhook.webhookId);
        held += Math.min(webhook.held, limit);
        most = Math.max(most, Math.min(kept, limit));
        oldest = Math.max(oldest, webhook.oldestSeconds);
      }
      const last = page.at(-1);
      if (last === undefined) break;
      afterId = last.webhookId;
    }
    this.#held = held;
    this.#oldestSeconds = oldest;
    this.#fullest = most / limit;
  }

  // The oldest end: receivers want the present state of an order. A release that runs meanwhile makes due the very same ones, so no more
  // than what was too much ends.
  async #trim(webhookId: string): Promise<void> {
    const { pool, maxHeldPerWebhook, onTrimmed } = this.#options;
    const lastId = await youngestBeyond(pool, webhookId, maxHeldPerWebhook);
    if (lastId === null) return;
    for (let count = MAX_EXPIRED_AT_ONCE; count === MAX_EXPIRED_AT_ONCE && this.#mayGoOn;) {
      const rows = await trimHeld(pool, webhookId, lastId);
      count = rows.length;
      if (count > 0) onTrimmed(rows);
    }
  }

  get #mayGoOn(): boolean {
    return this.#options.isLeading() && !this.#task.signal.aborted;
  }

  #forget(): void {
    this.#held = Number.NaN;
    this.#oldestSeconds = Number.NaN;
    this.#fullest = Number.NaN;
  }
}
