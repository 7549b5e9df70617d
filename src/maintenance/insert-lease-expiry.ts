// Deliveries that a process leased on insert and never finished are scheduled once that lease is over, whichever store has the schedule. So are those that
// a clock which was ahead has put off.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { scheduleExpired } from '../persistence/queries/schedule-expired.ts';
import {
  FAR_AHEAD_MS,
  bringForward,
  bringForwardThese,
  hasClockGoneBack,
  type BroughtForward,
} from '../persistence/queries/bring-forward.ts';
import { listOldTransactions, type OldTransaction } from '../persistence/queries/horizon.ts';
import { listScheduled, type SchedulePage } from '../persistence/queries/list-scheduled.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import { LeaderTask } from './leader-task.ts';

/** Deliveries looked at by one statement, which takes 50 ms. */
const PAGE_DELIVERIES = 50_000;
/** Scheduled deliveries read, and put right, by one statement. */
const PAGE_SCHEDULED = 10_000;
/** Nothing of ours takes as long, in milliseconds. */
const OLD_TRANSACTION_MS = 60_000;

export interface InsertLeaseExpiryOptions {
  readonly pool: Pool;
  readonly scheduler: Scheduler;
  readonly isLeading: () => boolean;
  readonly intervalMs: number;
  readonly leaseMs: number;
  /** Called with how many were scheduled, when any were: so many attempts were lost with the processes that made them. */
  readonly onScheduled: (count: number) => void;
  /** Called with how many deliveries a clock that was ahead had put off, when any were. */
  readonly onBroughtForward: (count: number) => void;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** Called with a transaction that is open for so long that it delays others. */
  readonly onOldTransaction: (transaction: OldTransaction) => void;
  readonly onError: (error: unknown) => void;
}

export class InsertLeaseExpiry implements LongRunning {
  readonly name = 'adoption';
  readonly #options: InsertLeaseExpiryOptions;
  readonly #task: LeaderTask;
  #oldPids: ReadonlySet<number> = new Set();

  constructor(options: InsertLeaseExpiryOptions) {
    this.#options = options;
    const { intervalMs, isLeading, onError } = options;
    this.#task = new LeaderTask(
      options.isLeading,
      async () => {
        if (isLeading()) await this.run();
      },
      intervalMs,
      onError,
    );
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  /** Each once, for as long as it is open. */
  async #reportOldTransactions(): Promise<void> {
    const old = await listOldTransactions(this.#options.pool, OLD_TRANSACTION_MS);
    for (const transaction of old) if (!this.#oldPids.has(transaction.pid)) this.#options.onOldTransaction(transaction);
    this.#oldPids = new Set(old.map(({ pid }) => pid));
  }

  /** What a clock has put off comes first: `adopted_below`, which moves back then, shows it. */
  async run(): Promise<void> {
    try {
      await this.#bringForward();
    } finally {
      await this.#schedule();
    }
    await this.#reportOldTransactions();
  }

  /** Each delivery is looked at once, when its lease on insert has run out. */
  async #schedule(): Promise<void> {
    const { pool, scheduler, leaseMs, onScheduled } = this.#options;
    let isMore = true;
    while (isMore && this.#task.mayGoOn) {
      const expired = await scheduleExpired(pool, { leaseMs, max: PAGE_DELIVERIES });
      isMore = expired.isMore;
      if (expired.deliveries.length === 0) continue;
      onScheduled(expired.deliveries.length);
      // They are due in their rows by now: what a schedule in Redis does not take, the reconciler puts there.
      await scheduler.enqueue(expired.deliveries);
    }
  }

  async #bringForward(): Promise<void> {
    const { pool, leaseMs, now } = this.#options;
    let count = PAGE_SCHEDULED;
    while (count >= PAGE_SCHEDULED && this.#task.mayGoOn) {
      const found = await bringForward(pool, { leaseMs, max: PAGE_SCHEDULED });
      count = found.length;
      await this.#reschedule(found);
    }
    if (!this.#task.mayGoOn || !(await hasClockGoneBack(pool))) return;
    // Leases given by that clock say nothing of when they were given: all that is scheduled is looked at, once.
    for (let page: SchedulePage | null = null; page === null || page.next !== null;) {
      if (!this.#task.mayGoOn) return;
      page = await listScheduled(pool, { after: page?.next ?? null, limit: PAGE_SCHEDULED });
      const latestMs = now() + FAR_AHEAD_MS;
      const far = page.rows.filter(({ dueAtMs }) => dueAtMs > latestMs).map(({ deliveryId }) => deliveryId);
      if (far.length > 0 && this.#task.mayGoOn) await this.#reschedule(await bringForwardThese(pool, far, leaseMs));
    }
  }

  async #reschedule(found: readonly BroughtForward[]): Promise<void> {
    if (found.length === 0) return;
    this.#options.onBroughtForward(found.length);
    await this.#options.scheduler.enqueue(found);
  }
}
