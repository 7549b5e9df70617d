// Adoption: deliveries that a process held from birth and never finished are scheduled, whichever store has the schedule.
import type { Pool } from 'pg';
import { repeat, type LongRunning } from '../lifecycle.ts';
import { adoptDeliveries } from '../persistence/queries/adopt-deliveries.ts';
import type { Scheduler } from '../schedule/scheduler.ts';

/** Deliveries looked at by one statement, which takes 50 ms. */
const PAGE_DELIVERIES = 50_000;

export interface AdoptionOptions {
  readonly pool: Pool;
  readonly scheduler: Scheduler;
  readonly isLeading: () => boolean;
  readonly intervalMs: number;
  readonly leaseMs: number;
  /** Hears how many were adopted, when any were: so many tries were lost with the processes that made them. */
  readonly onAdopted: (count: number) => void;
  readonly onError: (error: unknown) => void;
}

export class Adoption implements LongRunning {
  readonly name = 'adoption';
  readonly #options: AdoptionOptions;
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    const { intervalMs, isLeading, onError } = this.#options;
    this.#loop = repeat(
      async () => {
        if (isLeading()) await this.run();
      },
      intervalMs,
      this.#stopping.signal,
      onError,
    );
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** Each delivery is looked at once, when no lease of its birth can be left. */
  async run(): Promise<void> {
    const { pool, scheduler, leaseMs, onAdopted } = this.#options;
    let isMore = true;
    while (isMore && !this.#stopping.signal.aborted) {
      const adopted = await adoptDeliveries(pool, { leaseMs, max: PAGE_DELIVERIES });
      isMore = adopted.isMore;
      if (adopted.deliveries.length === 0) continue;
      onAdopted(adopted.deliveries.length);
      // They are due in their rows by now: what a schedule in Redis does not take, the reconciler puts there.
      await scheduler.enqueue(adopted.deliveries);
    }
  }
}
