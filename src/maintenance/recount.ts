// Recounting: once a minute the leader counts one day of one webhook in the log, and says when the sums differ.
import type { Pool } from 'pg';
import { inSnapshot } from '../persistence/transaction.ts';
import { recountDay, type RecountedDay } from '../persistence/queries/recount-day.ts';

export interface RecountOptions {
  readonly pool: Pool;
  /** Called with a day whose sums differ from the log. */
  readonly onWrong: (day: RecountedDay) => void;
}

/** From webhook to webhook, on a day by chance, so that a fault which touches many is found within minutes. */
export class Recount {
  readonly #options: RecountOptions;
  #after = '';

  constructor(options: RecountOptions) {
    this.#options = options;
  }

  /** Answers how many days were wrong. */
  async run(random = Math.random()): Promise<number> {
    const { pool, onWrong } = this.#options;
    const counted = await inSnapshot(pool, (client) => recountDay(client, this.#after, random));
    this.#after = counted?.webhookId ?? '';
    if (counted === null || counted.sums.every((sum, index) => sum === counted.log[index])) return 0;
    onWrong(counted);
    return 1;
  }
}
