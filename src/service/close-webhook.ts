// Ending what waits for a webhook that was disabled or deleted: one way for calls, for the engine and for housekeeping.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { cancelDeliveries, MAX_CANCELLED_AT_ONCE } from '../persistence/queries/cancel-deliveries.ts';
import { cancelDelivery } from '../persistence/queries/cancel-delivery.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import type { Logger } from '../telemetry/log.ts';
import { toStatusUpdates } from './delivery-view.ts';

/** Deliveries that a call waits for: all of them, for most webhooks. The first pages of a large log may have to be read from the disk. */
export const FIRST_BATCH = 100;
/** Webhooks whose waiting deliveries are still being cancelled by this process. What does not fit is left to housekeeping. */
const MAX_WEBHOOKS = 10_000;

export interface CloseWebhookOptions {
  readonly pool: Pool;
  /** Whether a watcher may be connected: else only their number is read. */
  readonly isWatched: () => boolean;
  readonly publish: (updates: readonly StatusUpdate[]) => void;
  readonly onCancelled: (count: number) => void;
  readonly log: Logger;
}

/**
 * To be called after the commit that closed a webhook: from then on nothing of it is sent anyway. A caller waits for the first batch alone; the
 * rest goes on behind it, a batch of each webhook in turn, one statement at a time. Each batch is counted and announced. Never rejects: what
 * is left over is cancelled by housekeeping, or by the attempt's own check.
 */
export class CloseWebhook implements LongRunning {
  readonly name = 'close-webhook';
  readonly #options: CloseWebhookOptions;
  readonly #unfinished = new Set<string>();
  #isStopping = false;
  #loop: Promise<void> | undefined;

  constructor(options: CloseWebhookOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    this.#isStopping = true;
    await this.#loop;
  }

  /** Resolves after the first batch. */
  async endWaiting(webhookId: string): Promise<void> {
    const count = await this.#cancelBatch(webhookId, FIRST_BATCH);
    if (count < FIRST_BATCH || this.#unfinished.size >= MAX_WEBHOOKS) return;
    this.#unfinished.add(webhookId);
    this.#loop ??= this.#run();
  }

  /** Cancels one delivery that was about to be sent. Rejects when that could not be written: it is then claimed again. */
  async endOne(deliveryId: string): Promise<void> {
    const row = await cancelDelivery(this.#options.pool, deliveryId);
    if (row === undefined) return;
    this.#options.onCancelled(1);
    this.#options.publish(toStatusUpdates([row]));
  }

  async #run(): Promise<void> {
    for (const webhookId of this.#unfinished) {
      if (this.#isStopping) break;
      const count = await this.#cancelBatch(webhookId, MAX_CANCELLED_AT_ONCE);
      this.#unfinished.delete(webhookId);
      // Until one finds nothing: a batch is also short when another process ended some of it meanwhile, which may have stopped for the same reason. Behind
      // the others: a set goes on with what is added while it is gone through.
      if (count > 0) this.#unfinished.add(webhookId);
    }
    this.#loop = undefined;
  }

  async #cancelBatch(webhookId: string, max: number): Promise<number> {
    const { pool, isWatched, publish, onCancelled, log } = this.#options;
    try {
      const { count, rows } = await cancelDeliveries(pool, webhookId, max, isWatched());
      onCancelled(count);
      if (rows.length > 0) publish(toStatusUpdates(rows));
      return count;
    } catch (error) {
      log.warn(
        { err: error, webhook_id: webhookId },
        'not every delivery of a closed webhook was cancelled; housekeeping will',
      );
      return 0;
    }
  }
}
