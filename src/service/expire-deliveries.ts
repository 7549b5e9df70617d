// Ending deliveries at their `deliver_before`: for the engine, which never begins a later attempt, and for the leader, which ends them at the moment.
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { expireDeliveries, expireDelivery, MAX_ENDED_AT_ONCE } from '../persistence/queries/expire-deliveries.ts';
import { chainsOf } from '../persistence/queries/ordering-heads.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import { enqueueTurns, type TurnsOptions } from '../schedule/enqueue-turns.ts';
import { toStatusUpdates } from './delivery-view.ts';

export interface ExpiryOptions extends TurnsOptions {
  readonly publish: (updates: readonly StatusUpdate[]) => void;
  readonly onExpired: (count: number) => void;
}

/** Each expired delivery is counted and announced once, after its commit, and the next of its ordering key is scheduled. */
export class Expiry {
  readonly #options: ExpiryOptions;

  constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  /** Ends one that was about to be sent. False: its moment has not come, or it had ended before. */
  async endOne(deliveryId: string): Promise<boolean> {
    const row = await expireDelivery(this.#options.pool, deliveryId);
    if (row === undefined) return false;
    await this.#announce([row]);
    return true;
  }

  /** Ends those whose moment has come, a batch of them. Answers whether there may be more. */
  async endBatch(): Promise<boolean> {
    const rows = await expireDeliveries(this.#options.pool, MAX_ENDED_AT_ONCE);
    if (rows.length > 0) await this.#announce(rows);
    return rows.length === MAX_ENDED_AT_ONCE;
  }

  async #announce(rows: readonly DeliveryRow[]): Promise<void> {
    const { publish, onExpired } = this.#options;
    // One that was delivered before, and was to be sent again, stays delivered.
    onExpired(rows.filter(({ status }) => status === 'cancelled').length);
    publish(toStatusUpdates(rows));
    await enqueueTurns(this.#options, chainsOf(rows));
  }
}
