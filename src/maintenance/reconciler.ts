// The reconciler: puts what PostgreSQL has scheduled and Redis lacks back into Redis.
import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import { FAILURES_TO_OPEN } from '../domain/delivery-rules.ts';
import { listFailing } from '../persistence/queries/list-failing.ts';
import { listOverdue, type OverdueCursor, type OverduePage } from '../persistence/queries/list-overdue.ts';
import { listScheduled, type ScheduleCursor, type SchedulePage } from '../persistence/queries/list-scheduled.ts';
import { isAnyCutOff } from '../persistence/queries/process-presence.ts';
import { DEAD_AFTER_MS } from '../schedule/redis-presence.ts';
import type { IndexState, ScheduleIndex } from '../schedule/schedule-index.ts';
import { countUnfinished } from '../persistence/queries/count-unfinished.ts';
import { LeaderTask } from './leader-task.ts';

/** How soon an emptied Redis is noticed; the check reads one key a shard. */
const CHECK_INTERVAL_MS = 1000;
/** Rows of one page: some 20 ms to read and as long to put in, so neither store is held up. */
const PAGE_ROWS = 10_000;
const PAGE_TRIES = 3;
const PAGE_RETRY_DELAY_MS = 200;
/** The part of its interval that a sweep may spend on what is overdue, and again on going through all rows; a million of them are seen in a few sweeps. */
const SWEEP_SHARE = 0.1;
/** In leases. A Redis that loses its keys again and again, because it evicts, must not delay deliveries for ever. */
const DELAY_AGAIN_AFTER = 1.5;
/** What becomes due about now is on its way: the process that committed it is about to schedule it. */
const MIN_OVERDUE_MS = 1000;
/** Of each webhook in a page, so that one with a large backlog does not make up what is put in. */
const OVERDUE_PER_WEBHOOK = 500;
/** Such a sweep follows each check; a few of them may fail or be late. */
const CUT_OFF_WINDOW_MS = 5 * CHECK_INTERVAL_MS;

export interface ReconcilerOptions {
  readonly pool: Pool;
  readonly index: ScheduleIndex;
  readonly isLeading: () => boolean;
  readonly intervalMs: number;
  readonly leaseMs: number;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** Called with how many deliveries Redis lacked, once a rebuild or a sweep. */
  readonly onRequeued: (count: number) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * Adding what Redis knows already changes nothing, and a row that is read here and finished a moment later is dropped by the process that
 * takes it: so all of this may run at any time, and twice.
 */
export class Reconciler implements LongRunning {
  readonly name = 'reconciler';
  readonly #options: ReconcilerOptions;
  readonly #task: LeaderTask;
  #nextSweepAt = 0;
  #cursor: ScheduleCursor | null = null;
  /** What was committed while Redis was away is not in it, though its keys are all there. */
  #wasAway = false;
  /** When Redis was first seen to be away or not complete, by the database's clock. */
  #incompleteSinceMs: number | null = null;
  /** When the due deliveries were last delayed for one lease. */
  #delayedSinceMs = Number.NEGATIVE_INFINITY;
  /** Put back by the rebuild or the sweep that is going on. */
  #requeued = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#task = new LeaderTask(options.isLeading, () => this.#tick(), CHECK_INTERVAL_MS, options.onError);
  }

  start(): Promise<void> {
    this.#nextSweepAt = performance.now() + this.#options.intervalMs;
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  async #tick(): Promise<void> {
    if (!this.#task.mayGoOn) return;
    const state = await this.#look();
    if (state === null || !this.#task.mayGoOn) return;
    try {
      if (state !== 'complete' || this.#wasAway) await this.rebuild(state === 'complete' || state === 'outdated');
    } catch (error) {
      this.#noteAway();
      throw error;
    }
    if (performance.now() < this.#nextSweepAt) {
      if (this.#task.mayGoOn && (await isAnyCutOff(this.#options.pool, DEAD_AFTER_MS))) await this.#sweepForThoseCutOff();
      return;
    }
    await this.sweep();
    this.#nextSweepAt = performance.now() + this.#options.intervalMs;
  }

  /** Null while Redis cannot do what the schedule needs: one that only reads lacks afterwards what one that was away lacks. */
  async #look(): Promise<IndexState | null> {
    const { index } = this.#options;
    try {
      const [state] = await Promise.all([index.indexState(), index.checkWritable()]);
      return state;
    } catch {
      // The schedule says what is wrong.
      this.#noteAway();
      return null;
    }
  }

  #noteAway(): void {
    this.#wasAway = true;
    this.#incompleteSinceMs ??= this.#options.now();
  }

  /**
   * Puts in every delivery that is scheduled. Measured with 1,000,000 rows of 1000 webhooks: 2.6 s of this process's time, 2.8 s of Redis',
   * 3.5 s of PostgreSQL's, side by side; 22 s by the clock on two cores that others kept busy (load 12).
   * @param hasKeys Redis lacks only what was scheduled while it was away, and goes on giving out. Otherwise it gives nothing out until it
   * is filled. Its leases are lost too, so what is due waits until none can be left
   */
  async rebuild(hasKeys = false): Promise<void> {
    const { index, leaseMs, now } = this.#options;
    this.#incompleteSinceMs = hasKeys ? null : (this.#incompleteSinceMs ?? now());
    if (this.#incompleteSinceMs !== null && this.#incompleteSinceMs > this.#delayedSinceMs + leaseMs * DELAY_AGAIN_AFTER) {
      this.#delayedSinceMs = this.#incompleteSinceMs;
    }
    const mark = randomUUID();
    await (hasKeys ? index.beginRefill(mark) : index.beginBuild(mark));
    if (!hasKeys) await this.#sendSuspects();
    let page: SchedulePage | null = await this.#page(null);
    try {
      while (page !== null && this.#task.mayGoOn) {
        // The next page is read while this one is put in.
        const following: Promise<SchedulePage> | null = page.next === null ? null : this.#page(page.next);
        const [added] = await Promise.all([this.#putBack(page.rows), following]);
        this.#requeued += added;
        page = await following;
      }
    } finally {
      this.#report();
    }
    if (page === null && this.#task.mayGoOn && (await index.completeBuild(mark))) {
      this.#wasAway = false;
      this.#incompleteSinceMs = null;
    }
  }

  // Before the rest: else everything due of thousands of dead webhooks would be tried at once, by processes that know nothing of them.
  async #sendSuspects(): Promise<void> {
    const { pool, index } = this.#options;
    let webhookIds: readonly string[] = [];
    do {
      webhookIds = await listFailing(pool, {
        afterWebhookId: webhookIds.at(-1) ?? '',
        minFailures: FAILURES_TO_OPEN,
        limit: PAGE_ROWS,
      });
      await index.suspect(webhookIds);
    } while (webhookIds.length === PAGE_ROWS && this.#task.mayGoOn);
  }

  /** Puts in what became due lately, then goes on through all rows for its share of the time. */
  async sweep(): Promise<void> {
    try {
      await this.#sweepOverdue();
      await this.#sweepOn();
    } finally {
      this.#report();
    }
  }

  // What a process schedules that Redis does not serve, only its row says: it cannot wait for the next sweep.
  async #sweepForThoseCutOff(): Promise<void> {
    try {
      await this.#sweepOverdue(CUT_OFF_WINDOW_MS);
    } finally {
      this.#report();
    }
  }

  /** Two sweeps see the same moment, in case one of them comes late. */
  async #sweepOverdue(windowMs = 2 * this.#options.intervalMs): Promise<void> {
    const { pool, intervalMs } = this.#options;
    const endsAt = performance.now() + intervalMs * SWEEP_SHARE;
    let after: OverdueCursor | null = null;
    do {
      if (!this.#task.mayGoOn) return;
      const page: OverduePage = await listOverdue(pool, {
        after,
        limit: PAGE_ROWS,
        perWebhook: OVERDUE_PER_WEBHOOK,
        minAgeMs: MIN_OVERDUE_MS,
        maxAgeMs: MIN_OVERDUE_MS + windowMs,
      });
      await this.#putBackMissing(page.rows);
      after = page.next;
    } while (after !== null && performance.now() < endsAt);
  }

  async #sweepOn(): Promise<void> {
    const endsAt = performance.now() + this.#options.intervalMs * SWEEP_SHARE;
    if (!this.#task.mayGoOn) return;
    do {
      // Before the page is read: what becomes due now may be sent and over by the time that it was.
      const nowMs = this.#options.now();
      const page = await this.#page(this.#cursor);
      await this.#putBackMissing(page.rows.filter(({ dueAtMs }) => Math.abs(dueAtMs - nowMs) > MIN_OVERDUE_MS));
      this.#cursor = page.next;
    } while (this.#cursor !== null && performance.now() < endsAt && this.#task.mayGoOn);
  }

  #page(after: ScheduleCursor | null): Promise<SchedulePage> {
    return listScheduled(this.#options.pool, { after, limit: PAGE_ROWS });
  }

  /**
   * What is leased in its row is enqueued for the end of that lease, and what has ended since it was read is added as well. Neither is
   * missing: both are taken off the count, rather too many of them than too few. Under load a page takes up to half a second to enqueue,
   * and hundreds of a backlog are sent meanwhile.
   */
  async #putBackMissing(rows: SchedulePage['rows']): Promise<void> {
    const added = await this.#putBack(rows);
    if (added === 0) return;
    const free = rows.filter(({ isLeased }) => !isLeased);
    const unfinished = await countUnfinished(
      this.#options.pool,
      free.map(({ deliveryId }) => deliveryId),
    );
    this.#requeued += Math.max(0, added - (rows.length - unfinished));
  }

  /** Answers how many Redis did not know. A page is tried again, so that one slow moment does not make a rebuild begin anew. */
  async #putBack(rows: SchedulePage['rows'], triesLeft = PAGE_TRIES - 1): Promise<number> {
    if (rows.length === 0) return 0;
    const { index, leaseMs, now } = this.#options;
    const delayedUntilMs = this.#delayedSinceMs + leaseMs;
    try {
      return await index.enqueue(
        // Sweeps too, or the next one would undo the delay of a rebuild.
        delayedUntilMs < now() ? rows : rows.map((row) => ({ ...row, dueAtMs: Math.max(row.dueAtMs, delayedUntilMs) })),
      );
    } catch (error) {
      if (triesLeft === 0 || this.#task.signal.aborted) throw error;
      await pause(PAGE_RETRY_DELAY_MS, this.#task.signal);
      return this.#putBack(rows, triesLeft - 1);
    }
  }

  #report(): void {
    this.#options.onRequeued(this.#requeued);
    this.#requeued = 0;
  }
}
