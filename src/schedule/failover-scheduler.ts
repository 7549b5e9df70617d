// The schedule in Redis while it answers, in PostgreSQL while it does not.
import { pause } from '../lifecycle.ts';
import type { PostgresScheduler } from './postgres-scheduler.ts';
import { ScheduleShut, SHUT_MS, type RedisScheduler } from './redis-scheduler.ts';
import type { Claim, ClaimRequest, Leased, Scheduled, Scheduler, Settlement } from './scheduler.ts';

/** One failure may be a command that a broken connection took with it; two in a row are worth a question. */
const MAX_FAILURES = 2;
/** After each answer, until it is asked again whether Redis is back; SHUT_MS counts on it. */
const PROBE_INTERVAL_MS = 250;
/** Before the second try of a claim that failed. */
const RETRY_DELAY_MS = 50;

export interface FailoverOptions {
  readonly redis: RedisScheduler;
  readonly postgres: PostgresScheduler;
  readonly leaseMs: number;
  readonly onDegraded: (degraded: boolean) => void;
  readonly onError: (message: string, error: unknown) => void;
  /** Hears of each call that Redis failed, whether it is left for that or not. */
  readonly onFailure?: (error: unknown) => void;
}

/**
 * Three rules keep a delivery from being sent twice when the schedule changes hands:
 * - what was due before Redis went away may be held by a process that took it there, so PostgreSQL gives it out only one lease
 *   after; what becomes due later, nobody can have taken;
 * - what PostgreSQL gave out says so in its row, so whoever takes the same delivery from Redis sees it when loading the row;
 * - the other way round nobody would see it, so Redis gives nothing out while any process that reaches it serves from PostgreSQL.
 */
export class FailoverScheduler implements Scheduler {
  readonly name = 'schedule';
  readonly #options: FailoverOptions;
  /** On the monotonic clock; null while Redis serves. Before the first answer Redis is taken to be away. */
  #awaySince: number | null = performance.now();
  /** Whether Redis, though away, takes writes: while it is being filled, the pages already read do not hold what comes meanwhile. */
  #isFilling = false;
  #failures = 0;
  #isConfirming = false;
  /** When Redis was last asked whether it is back, and thereby shut. */
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Until then a lease may be out that PostgreSQL gave. */
  #rowLeasesUntil = Number.NEGATIVE_INFINITY;
  readonly #stopping = new AbortController();
  #probing: Promise<void> = Promise.resolve();
  readonly #wakeCallbacks: (() => void)[] = [];

  constructor(options: FailoverOptions) {
    this.#options = options;
  }

  /** Whether PostgreSQL serves the schedule because Redis is away or is being filled. */
  get isDegraded(): boolean {
    return this.#awaySince !== null;
  }

  async start(): Promise<void> {
    const { redis, postgres, onDegraded } = this.#options;
    await Promise.all([redis.start(), postgres.start()]);
    // Nothing was served from PostgreSQL yet, so there is nothing to shut Redis for.
    if (!(await this.#returnAfter(() => redis.checkWritable()))) {
      onDegraded(true);
      this.#probing = this.#probeUntilBack();
    }
  }

  async drain(): Promise<void> {
    this.#stopping.abort();
    await this.#probing;
    await Promise.all([this.#options.redis.drain(), this.#options.postgres.drain()]);
  }

  onWake(callback: () => void): void {
    this.#wakeCallbacks.push(callback);
    this.#options.redis.onWake(callback);
    this.#options.postgres.onWake(callback);
  }

  /** Never rejects: the reconciler puts in what Redis did not take. */
  async enqueue(items: readonly Scheduled[]): Promise<number> {
    if (this.#awaySince === null) {
      const added = await this.#tryRedis(() => this.#options.redis.enqueue(items));
      if (added !== undefined) return added;
    }
    this.#addWhileFilling(items);
    return this.#options.postgres.enqueue(items);
  }

  /** Never rejects: what could not be held anywhere is left out, and the reconciler finds it. */
  async enqueueLeased(items: readonly Omit<Scheduled, 'dueAtMs'>[]): Promise<Leased[]> {
    if (this.#awaySince === null) {
      const leased = await this.#tryRedis(() => this.#options.redis.enqueueLeased(items));
      if (leased !== undefined) return leased;
    }
    try {
      this.#rowLeasesUntil = performance.now() + this.#options.leaseMs;
      return await this.#options.postgres.enqueueLeased(items);
    } catch (error) {
      this.#options.onError('committed deliveries could not be held; they will be taken when due', error);
      return [];
    }
  }

  /** Rejects only when PostgreSQL serves the schedule and fails. */
  async claim(request: ClaimRequest): Promise<Claim> {
    if (this.#awaySince === null) {
      const claim = await this.#tryRedis(() => this.#options.redis.claim(request));
      if (claim?.isIncomplete === true) this.#leaveRedis('Redis has lost its keys');
      if (claim !== undefined) return claim;
    }
    const nowMs = performance.now();
    // A process that was frozen since it asked does not know whether the others have gone back meanwhile.
    if (this.#awaySince === null || nowMs > this.#askedAt + SHUT_MS) {
      return { leased: [], nextDueInMs: RETRY_DELAY_MS, isLimited: false };
    }
    const awayMs = nowMs - this.#awaySince;
    const claim = await this.#options.postgres.claim(request, awayMs > this.#options.leaseMs ? null : awayMs);
    if (claim.leased.length > 0) this.#rowLeasesUntil = performance.now() + this.#options.leaseMs;
    return claim;
  }

  /** Never rejects: a lease that could not be ended runs out, and whoever takes the delivery then reads the row first. */
  async settle(settlements: readonly Settlement[]): Promise<void> {
    // Nothing to tell asks nothing of Redis either, and must not count as its success.
    if (settlements.length === 0) return;
    const areRowLeasesOut = performance.now() < this.#rowLeasesUntil;
    if (areRowLeasesOut) {
      try {
        await this.#options.postgres.settle(settlements);
      } catch (error) {
        this.#options.onError('leases could not be ended; they will run out', error);
      }
    }
    if (this.#awaySince !== null) return this.#addWhileFilling(settlements.filter(isDueAgain));
    await this.#tryRedis(async () => {
      await this.#options.redis.settle(settlements);
      // What was held in its row is not held in Redis, and a token tells nobody where it is from: due moments go there anyhow.
      if (areRowLeasesOut) await this.#options.redis.enqueue(settlements.filter(isDueAgain));
    });
  }

  #addWhileFilling(items: readonly Scheduled[]): void {
    if (!this.#isFilling || items.length === 0) return;
    // What fails here is put in by the next sweep.
    this.#options.redis.enqueue(items).catch((error: unknown) => this.#options.onFailure?.(error));
  }

  async #tryRedis<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await call();
      this.#failures = 0;
      return result;
    } catch (error) {
      if (error instanceof ScheduleShut) return undefined;
      this.#failures += 1;
      this.#options.onFailure?.(error);
      if (this.#failures >= MAX_FAILURES || isTimeout(error)) void this.#confirmAway();
      return undefined;
    }
  }

  // A process that got no processor for a while sees its commands time out although Redis is well: hence one more question.
  async #confirmAway(): Promise<void> {
    if (this.#isConfirming || this.#awaySince !== null) return;
    this.#isConfirming = true;
    try {
      await this.#options.redis.checkWritable();
      this.#failures = 0;
    } catch (error) {
      this.#leaveRedis('Redis does not answer', error);
    } finally {
      this.#isConfirming = false;
    }
  }

  #leaveRedis(reason: string, error?: unknown): void {
    if (this.#awaySince !== null) return;
    this.#awaySince = this.#askedAt = performance.now();
    this.#options.onError(`${reason}; PostgreSQL serves the schedule`, error);
    this.#options.onDegraded(true);
    this.#probing = this.#probeUntilBack();
    for (const callback of this.#wakeCallbacks) callback();
  }

  async #probeUntilBack(): Promise<void> {
    const { signal } = this.#stopping;
    const shut = (): Promise<void> => this.#options.redis.shut();
    while (!signal.aborted && !(await this.#returnAfter(shut))) await pause(PROBE_INTERVAL_MS, signal);
  }

  /** Goes back to Redis when it works and holds everything: one that lost its keys is filled by the reconciler first. */
  async #returnAfter(question: () => Promise<void>): Promise<boolean> {
    const nowMs = performance.now();
    // Frozen since it was asked last: others may have been back meanwhile, and what was due until now may be held in Redis again.
    if (nowMs > this.#askedAt + SHUT_MS) this.#awaySince = nowMs;
    this.#askedAt = nowMs;
    try {
      await question();
      this.#isFilling = true;
      if ((await this.#options.redis.indexState()) !== 'complete') return false;
    } catch {
      this.#isFilling = false;
      return false;
    }
    this.#isFilling = false;
    this.#awaySince = null;
    this.#failures = 0;
    this.#options.onDegraded(false);
    for (const callback of this.#wakeCallbacks) callback();
    return true;
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Command timed out';
}

function isDueAgain(settlement: Settlement): settlement is Settlement & Scheduled {
  return settlement.dueAtMs !== null;
}
