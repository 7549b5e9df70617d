// The recorder: writes outcomes in batches, and then reports them to the schedule and the watchers.
import { nextState, outcomeMessage, type Outcome } from '../domain/delivery.ts';
import { pause } from '../lifecycle/pause.ts';
import { GroupCommit } from '../persistence/group-commit.ts';
import type { Chain } from '../persistence/queries/ordering-heads.ts';
import type { OutcomeRow } from '../persistence/queries/record-outcomes.ts';
import { isDataError } from '../persistence/store-errors.ts';
import type { StatusUpdate } from '../realtime/status-update.ts';
import type { Leased, LeftAloneUntilMs, Scheduler, Settlement } from '../schedule/scheduler.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { GONE, type Recorded } from './outcome-store.ts';
import type { Task } from './task.ts';
import type { Target } from './webhook-directory.ts';

/** One statement settles so many: with 500 outcomes waited while 15,000 a second came; 2000 gain nothing more. */
const MAX_BATCH_OUTCOMES = 1000;
/**
 * ms between two statements, unless many outcomes wait. No lane waits for an outcome to be written. Without a pace a webhook with sixteen
 * requests at a time got a statement, and a script of Redis, for every ten outcomes: twice what their rows cost.
 */
const PACE_MS = 20;
/** As many as a statement has beside a flood, at 12,000 a second: more in one do not make an outcome cheaper. */
const ENOUGH_OUTCOMES = 250;
/** Responses are at most 16 KiB each; 4 MiB is a statement that the database takes in a few milliseconds. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** Outcomes are never refused: the dispatcher stops sending while they cannot be written, which bounds them by what is in flight. */
const MAX_PENDING_BYTES = Number.POSITIVE_INFINITY;
/** A row without its response, in bytes. */
const ROW_BYTES = 200;
/**
 * ms. A write that takes longer has met a database that hangs: until its timeout, some seconds more would be sent, and sent again later.
 */
const STALLED_WRITE_MS = 1000;
/** Between tries to write while the database is away, in milliseconds. */
const RETRY_WRITE_MS = 250;
/** ms. Between two lines of the log that say that outcomes cannot be written. */
const LINE_INTERVAL_MS = 5000;
/** Between tries to write outcomes whose rows another session has locked, in milliseconds. */
const RETRY_LOCKED_MS = 500;

interface Entry {
  readonly task: Task;
  readonly target: Target;
  readonly traceId: string;
  readonly row: OutcomeRow;
  readonly leftAloneUntilMs: LeftAloneUntilMs;
}

export interface RecorderOptions {
  /**
   * Writes a batch in one transaction. Returns one result an outcome. With `returnsEachTime` each has the exact time of its change, which
   * watchers need.
   */
  readonly record: (
    rows: readonly OutcomeRow[],
    returnsEachTime: boolean,
    isLockLikely: boolean,
  ) => Promise<readonly Recorded[]>;
  readonly scheduler: Scheduler;
  /** Schedules what these outcomes let go. Never rejects. */
  readonly enqueueTurns: (chains: readonly Chain[]) => Promise<void>;
  /** Gets the updates of deliveries that were given up, and all others while `isWatched`. */
  readonly publish: (updates: readonly StatusUpdate[]) => void;
  readonly isWatched: () => boolean;
  /** Whether another process may attempt the delivery, though its lease has not run out (see Holder). */
  readonly isLost?: (lease: Leased) => boolean;
  /** Called for each retry, so that the dispatcher's sleep ends in time. */
  readonly onRetry: (delayMs: number) => void;
  readonly telemetry: Telemetry;
}

export class Recorder {
  readonly #options: RecorderOptions;
  readonly #commits: GroupCommit<Entry, Recorded>;
  /** Outcomes of webhooks of which another session has locked a row: they keep no others waiting. */
  readonly #lockedCommits: GroupCommit<Entry, Recorded>;
  /** How many of them each of these webhooks has. */
  readonly #locked = new Map<string, number>();
  /** When each write in flight began. */
  readonly #writing = new Set<{ readonly startedAt: number }>();
  #unwritten = 0;
  /** When a write failed last, while none that began after it has succeeded. */
  #failedAt: number | null = null;
  #lastLineAt = Number.NEGATIVE_INFINITY;
  #idleCallbacks: (() => void)[] = [];

  constructor(options: RecorderOptions) {
    this.#options = options;
    const limits = {
      maxBatchItems: MAX_BATCH_OUTCOMES,
      maxBatchBytes: MAX_BATCH_BYTES,
      maxPendingBytes: MAX_PENDING_BYTES,
    };
    this.#commits = new GroupCommit({
      limits: { ...limits, pace: { intervalMs: PACE_MS, enoughItems: ENOUGH_OUTCOMES } },
      write: (entries) => this.#write(entries, false),
      isItemFault: isDataError,
      // The next delivery of its key waits for it.
      isAwaited: ({ row }) => row.orderingKey !== null,
    });
    this.#lockedCommits = new GroupCommit({
      limits,
      write: (entries) => this.#write(entries, true),
      isItemFault: isDataError,
    });
  }

  /** True while outcomes cannot be written: nothing more should be sent, since it could not be recorded either. */
  get isStalled(): boolean {
    if (this.#failedAt !== null) return true;
    for (const { startedAt } of this.#writing) if (performance.now() - startedAt > STALLED_WRITE_MS) return true;
    return false;
  }

  /** Outcomes taken and not yet written. */
  get unwritten(): number {
    return this.#unwritten;
  }

  /**
   * Takes the outcome of an attempt. It is written as soon as possible, and tried again until it is.
   * @param leftAloneUntilMs what the attempt shows of its receiver, for the schedule
   */
  record(task: Task, outcome: Outcome, target: Target, traceId: string, leftAloneUntilMs?: LeftAloneUntilMs): void {
    this.#unwritten += 1;
    this.#add({ task, target, traceId, row: toRow(task, outcome, target), leftAloneUntilMs });
  }

  /**
   * The same of a held delivery that was sent to find out whether its receiver is back. A failure uses up no retry, so it stays held; only 410
   * ends it, with its webhook.
   */
  recordProbe(task: Task, outcome: Outcome, target: Target, traceId: string): void {
    this.#unwritten += 1;
    const row = toRow(task, outcome, target);
    const isFinal = row.status === 'delivered' || outcome.httpStatus === GONE;
    const stays = { status: 'retrying', usesRetry: false, delayMs: row.delayMs ?? target.policy.retryDelayMs } as const;
    this.#add({ task, target, traceId, row: isFinal ? row : { ...row, ...stays }, leftAloneUntilMs: undefined });
  }

  /** Resolves when everything taken so far is written or given up. */
  idle(): Promise<void> {
    if (this.#unwritten === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleCallbacks.push(resolve));
  }

  #add(entry: Entry): void {
    if (this.#locked.has(entry.row.webhookId)) this.#addLocked(entry);
    else this.#commits.add(entry, bytesOf(entry), this.#onWritten);
  }

  // One for all, not a closure each: thousands wait to be written.
  readonly #onWritten = (error: unknown, recorded: Recorded, entry: Entry): void => {
    if (error !== undefined) void this.#retry(entry, error);
    else if (recorded === 'locked') void this.#waitForLock(entry);
    else this.#done(recorded === undefined ? 1 : 0);
  };

  #addLocked(entry: Entry): void {
    this.#countLocked(entry, 1);
    this.#lockedCommits.add(entry, bytesOf(entry), this.#onLockedWritten);
  }

  readonly #onLockedWritten = (error: unknown, recorded: Recorded, entry: Entry): void => {
    this.#onWritten(error, recorded, entry);
    this.#countLocked(entry, -1);
  };

  async #waitForLock(entry: Entry): Promise<void> {
    const { webhookId, deliveryId } = entry.row;
    if (!this.#locked.has(webhookId)) {
      this.#options.telemetry.log.warn(
        { webhook_id: webhookId, delivery_id: deliveryId },
        'another session has locked a row; the outcomes of this webhook wait for it',
      );
    }
    // Counted while it waits as well, so that the next ones of this webhook need not find the lock by waiting for it.
    this.#countLocked(entry, 1);
    await pause(RETRY_LOCKED_MS);
    this.#addLocked(entry);
    this.#countLocked(entry, -1);
  }

  #countLocked({ row }: Entry, change: 1 | -1): void {
    const count = (this.#locked.get(row.webhookId) ?? 0) + change;
    if (count === 0) this.#locked.delete(row.webhookId);
    else this.#locked.set(row.webhookId, count);
  }

  #done(stale: number): void {
    this.#options.telemetry.events.staleResult(stale);
    this.#unwritten -= 1;
    if (this.#unwritten > 0) return;
    // Nothing is left to find out by whether writing works: the next outcome does.
    this.#failedAt = null;
    for (const callback of this.#idleCallbacks.splice(0)) callback();
  }

  async #retry(entry: Entry, error: unknown): Promise<void> {
    if (isDataError(error)) {
      // What came from the receiver is the only part that this service did not make: the outcome is worth more than its texts.
      this.#options.telemetry.log.error(
        { err: error, delivery_id: entry.task.deliveryId },
        'an outcome could not be stored as it is',
      );
      if (entry.row.response === null && entry.row.transcript === null) return this.#done(1);
      return this.#add({ ...entry, row: { ...entry.row, response: null, transcript: null } });
    }
    const now = performance.now();
    // A full disk takes some outcomes and refuses others: many a write fails after one that did not.
    if (this.#failedAt === null && now - this.#lastLineAt >= LINE_INTERVAL_MS) {
      this.#lastLineAt = now;
      this.#options.telemetry.log.error({ err: error }, 'outcomes cannot be written; sending pauses until they can');
    }
    this.#failedAt = now;
    await pause(RETRY_WRITE_MS);
    this.#add(entry);
  }

  async #write(entries: readonly Entry[], isLockLikely: boolean): Promise<Recorded[]> {
    // Another process may have leased the delivery by now, so an outcome that comes after its lease is written only if it is a success.
    const now = performance.now();
    const isLost = this.#options.isLost ?? (() => false);
    const isValid = ({ task, row }: Entry): boolean =>
      row.status === 'delivered' || (task.lease.expiresAt > now && !isLost(task.lease));
    const rows = entries.filter(isValid).map((entry) => entry.row);
    const write = { startedAt: now };
    const isWatched = this.#options.isWatched();
    this.#writing.add(write);
    let states: readonly Recorded[];
    try {
      states = rows.length === 0 ? [] : await this.#options.record(rows, isWatched, isLockLikely);
    } finally {
      this.#writing.delete(write);
    }
    // One that began before may have been written before, and one without a row has written nothing.
    if (rows.length > 0 && this.#failedAt !== null && now > this.#failedAt) this.#failedAt = null;
    let next = 0;
    const results = entries.map((entry) => (isValid(entry) ? states[next++] : undefined));
    const written = results.filter((result) => result !== undefined && result !== 'locked').length;
    this.#options.telemetry.events.resultsCommitted(written, performance.now() - write.startedAt);
    this.#announce(entries, results, isWatched);
    return results;
  }

  // What was fenced off stays in the schedule: the process that recorded it has settled it, or its lease will run out.
  #announce(entries: readonly Entry[], results: readonly Recorded[], isWatched: boolean): void {
    const settlements: Settlement[] = [];
    const chains: Chain[] = [];
    const updates: StatusUpdate[] = [];
    for (const [index, entry] of entries.entries()) {
      const { task, target, row, leftAloneUntilMs } = entry;
      const recorded = results[index];
      if (recorded === undefined || recorded === 'locked') continue;
      const { deliveryId, webhookId, leasedIn, token } = task.lease;
      const dueAtMs = recorded.nextAttemptAtMs;
      // A delivery that was leased in its row and has ended is in no schedule.
      if (leasedIn === 'index' || dueAtMs !== null) {
        settlements.push({ deliveryId, webhookId, leasedIn, token, dueAtMs, leftAloneUntilMs });
      }
      if (row.orderingKey !== null) chains.push({ webhookId, orderingKey: row.orderingKey });
      if (row.delayMs !== null) this.#options.onRetry(row.delayMs);
      const attemptNumber = row.attemptCount + row.leaseExpirations + 1;
      this.#publish(entry, attemptNumber);
      if (!isWatched && recorded.status !== 'failed') continue;
      updates.push({
        deliveryId,
        webhookId,
        userId: target.userId,
        eventId: task.eventId,
        eventType: task.eventType,
        status: recorded.status,
        attemptCount: attemptNumber,
        orderingKey: task.ordering?.key ?? null,
        sequence: task.ordering?.sequence ?? null,
        collapseKey: task.collapseKey,
        deliverBeforeMs: task.deliverBeforeMs,
        nextAttemptAtMs: recorded.nextAttemptAtMs,
        deliveredAtMs: recorded.deliveredAtMs,
        failedAtMs: recorded.failedAtMs,
        createdAtMs: task.createdAtMs,
        updatedAtMs: recorded.updatedAtMs,
        httpStatus: row.httpStatus,
        response: row.response,
        errorCode: row.errorCode,
        errorMessage: row.errorMessage,
      });
    }
    if (updates.length > 0) this.#options.publish(updates);
    void this.#options.enqueueTurns(chains);
    if (settlements.length === 0) return;
    this.#options.scheduler.settle(settlements).catch((error: unknown) => {
      this.#options.telemetry.log.warn(
        { err: error },
        'outcomes did not reach the schedule; the reconciler will put that right',
      );
    });
  }

  #publish({ task, row, traceId }: Entry, attemptNumber: number): void {
    this.#options.telemetry.events.attemptFinished({
      deliveryId: task.deliveryId,
      webhookId: task.webhookId,
      eventId: task.eventId,
      eventType: task.eventType,
      number: attemptNumber,
      trigger: row.trigger,
      outcome: row.errorCode === 'shutdown' ? 'released' : row.status,
      httpStatus: row.httpStatus,
      error: row.errorCode,
      durationMs: row.durationMs,
      delayMs: row.startedAtMs - task.createdAtMs,
      retryInMs: row.delayMs,
      traceId,
    });
  }
}

function bytesOf({ row }: Entry): number {
  const { response, transcript } = row;
  const headers =
    transcript === null ? 0 : (transcript.requestHeaders?.length ?? 0) + (transcript.responseHeaders?.length ?? 0);
  return ROW_BYTES + (response?.length ?? 0) + headers;
}

function toRow(task: Task, outcome: Outcome, { policy }: Target): OutcomeRow {
  const tried = { trigger: task.trigger, retriesUsed: task.retriesUsed, leaseExpirations: task.lease.expirations };
  const next = nextState(outcome, tried, policy, Math.random());
  return {
    deliveryId: task.deliveryId,
    webhookId: task.webhookId,
    orderingKey: task.chain,
    attemptCount: task.attemptCount,
    leaseExpirations: task.lease.expirations,
    trigger: task.trigger,
    status: next.status === 'released' ? 'retrying' : next.status,
    usesRetry: next.status === 'retrying' && task.trigger === 'automatic',
    delayMs: next.status === 'retrying' ? next.delayMs : next.status === 'released' ? 0 : null,
    startedAtMs: outcome.startedAtMs,
    durationMs: outcome.durationMs,
    httpStatus: outcome.httpStatus,
    response: outcome.response,
    responseTruncated: outcome.responseTruncated,
    responseOddity: outcome.responseOddity,
    errorCode: outcome.error,
    errorMessage: outcomeMessage(outcome),
    transcript: outcome.transcript,
  };
}
