// Summing, by the leader alone: hours and days of the delivery log are counted once they are over, and late changes folded in.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import { closeSums, haveAllEnded, readPlace, takeBackSums } from '../persistence/queries/close-sums.ts';
import { foldSome, sumPage } from '../persistence/queries/sum-log.ts';
import { LeaderTask } from './leader-task.ts';

/** How old a late change gets before statistics show it, in milliseconds. */
const INTERVAL_MS = 5000;
/** How often in a round, and how far apart in milliseconds, it is asked whether older transactions have ended. */
const WAITS = 20;
const WAIT_MS = 50;

export interface SummingOptions {
  readonly pool: Pool;
  readonly isLeading: () => boolean;
  readonly onError: (error: unknown) => void;
  /** Deliveries counted by one transaction. */
  readonly pageDeliveries?: number;
}

export class Summing implements LongRunning {
  readonly name = 'summing';
  readonly #options: SummingOptions;
  readonly #task: LeaderTask;
  /** Where the sums are closed, as far as this process knows, and a moment after that was committed. */
  #closed = { below: '', at: '' };

  constructor(options: SummingOptions) {
    this.#options = options;
    this.#task = new LeaderTask(options.isLeading, () => this.run(), INTERVAL_MS, options.onError);
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  // Transactions of ours end within milliseconds. Longer ones are waited for in the next round.
  async #waitForOthers(): Promise<boolean> {
    for (let asked = 0; asked < WAITS && this.#task.mayGoOn; asked += 1) {
      if (await haveAllEnded(this.#options.pool, this.#closed.at)) return true;
      await pause(WAIT_MS, this.#task.signal);
    }
    return false;
  }

  /** One round: closes what is over, and counts it as soon as every transaction has seen that. */
  async run(): Promise<void> {
    const { pool, pageDeliveries } = this.#options;
    if (!this.#task.mayGoOn) return;
    let place = await readPlace(pool);
    if (!place.hasBegun || !this.#task.mayGoOn || (await takeBackSums(pool, place))) return;
    if (this.#task.mayGoOn && (await closeSums(pool, place))) place = await readPlace(pool);
    // A time that was read after the place: a transaction that begins later sees the place as it was read here.
    if (place.closingBelow !== this.#closed.below) this.#closed = { below: place.closingBelow, at: place.at };
    while (this.#task.mayGoOn && (await foldSome(pool))?.isMore === true);
    if (!(await this.#waitForOthers())) return;
    while (this.#task.mayGoOn && (await sumPage(pool, this.#closed.below, pageDeliveries))?.isMore === true);
  }
}
