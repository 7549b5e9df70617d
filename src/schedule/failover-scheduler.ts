// The schedule in Redis while it answers, in PostgreSQL while it does not.
import { pause } from '../lifecycle/pause.ts';
import { explainRedisError, isRefusal } from '../persistence/redis-refusal.ts';
import type { PostgresScheduler } from './postgres-scheduler.ts';
import { LOOK_MS, type RedisPresence } from './redis-presence.ts';
import { SUSPEND_MS, type RedisScheduler } from './redis-scheduler.ts';
import type { Claim, ClaimRequest, Scheduled, Scheduler, Settlement } from './scheduler.ts';
import { PendingSync } from './pending-sync.ts';

/** While Redis serves, it is asked this often whether it can still do all that is needed: within two seconds PostgreSQL takes over. */
const WATCH_INTERVAL_MS = 1000;
/** One failure may be a command that a broken connection took with it; two in a row are worth a question. A refusal is worth one at once. */
const MAX_FAILURES = 2;
/** After each answer, until it is asked again whether Redis is back; SUSPEND_MS counts on it. */
const PROBE_INTERVAL_MS = 250;
/** Before the second try of a claim that failed. */
const RETRY_DELAY_MS = 50;
/** Redis shut by others for longer than a return takes: one of them cannot come back, and all serve from PostgreSQL beside it. */
const LONG_SUSPENSION_MS = 2 * SUSPEND_MS;
/** What is left of that time for a claim from PostgreSQL to begin. */
const MIN_CLAIM_MS = 250;

/** Redis' clock may be ahead of PostgreSQL's by half of this without being corrected (shard.lua), and so give out what is due that much later. */
const CLOCK_TOLERANCE_MS = 100;

/** Another process claims from Redis: it is looked at again before it can be missed. */
const LEFT_TO_OTHERS: Claim = { leased: [], nextDueInMs: LOOK_MS / 2, isLimited: false };
const NOTHING: Claim = { leased: [], nextDueInMs: RETRY_DELAY_MS, isLimited: false };

export interface FailoverOptions {
  readonly redis: RedisScheduler;
  readonly postgres: PostgresScheduler;
  readonly leaseMs: number;
  /** Whether this process ever claims: one that only publishes is in nobody's way. */
  readonly isWorker: boolean;
  /** How processes know whom of them Redis serves; without it each takes itself to be the only one that is cut off. */
  readonly presence?: RedisPresence | undefined;
  /** @param why a sentence that says what is wrong with Redis; null when it is new and has to be filled first, or is back */
  readonly onDegraded: (degraded: boolean, why: string | null) => void;
  readonly onError: (message: string, error: unknown) => void;
  /** Hears of each call that Redis failed, whether it is left for that or not. */
  readonly onFailure?: (error: unknown) => void;
}

/**
 * Three rules keep a delivery from being sent twice when the schedule changes hands:
 * - what was due before Redis went away may be held by a process that took it there, so PostgreSQL gives it out only one lease
 *   after; what becomes due later, nobody can have taken;
 * - what PostgreSQL gave out says so in its row, so whoever takes the same delivery from Redis sees it when loading the row; so does what
 *   was committed to be tried at once, whichever of both serves;
 * - the other way round nobody would see it, so each question of a process that takes from PostgreSQL shuts Redis for all, until it
 *XX */
export class FailoverScheduler implements Scheduler {
  readonly name = 'schedule';
  readonly #options: FailoverOptions;
  /** On the monotonic clock; null while Redis serves. Before the first answer Redis is taken to be away. */
  #awaySince: number | null = performance.now();
  /** Until when the last question that was answered shuts Redis for the others; where nobody else could tell, also one that was not. */
  #shutUntil = Number.NEGATIVE_INFINITY;
  /** When Redis last answered a claim: what became due later, this process cannot hold there. Before that, when it started. */
  #claimedAt = performance.now();
  /** It is about to serve from Redis, and the others are told first. */
  #isReturning = false;
  /** Since when claims of this process have found Redis shut by others without a gap, and until when it is. */
  #shutOut: { readonly since: number; readonly until: number } | null = null;
  readonly #pendingSync: PendingSync;
  /** Claims from PostgreSQL that are under way. */
  readonly #claiming = new Set<Promise<Claim>>();
  #failures = 0;
  #isConfirming = false;
  readonly #stopping = new AbortController();
  #probing: Promise<void> = Promise.resolve();
  #watching: Promise<void> = Promise.resolve();
  /** What was said to be wrong since Redis serves no more; each sentence once. */
  readonly #saidWhy = new Set<string | null>();
  readonly #wakeCallbacks: (() => void)[] = [];

  constructor(options: FailoverOptions) {
    this.#options = options;
    this.#pendingSync = new PendingSync(options.redis, (error) => options.onFailure?.(error));
  }

  /** Whether PostgreSQL serves the schedule because Redis is away, is being filled, or is shut by a process that cannot come back. */
  get isDegraded(): boolean {
    return this.#awaySince !== null || this.#isShutOut;
  }

  async start(): Promise<void> {
    const { redis, postgres, presence } = this.#options;
    await Promise.all([redis.start(), postgres.start()]);
    presence?.start(() => ({
      isServed: this.#awaySince === null || this.#isReturning,
      claimedAgoMs: performance.now() - this.#claimedAt,
    }));
    // Nothing was taken from PostgreSQL yet, so there is nothing to shut Redis for.
    if (!(await this.#returnAfter(() => redis.checkWritable()))) this.#probing = this.#probeUntilBack();
    this.#watching = this.#watch();
  }

  async drain(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#probing, this.#watching]);
    await Promise.all([this.#options.redis.drain(), this.#options.postgres.drain(), this.#options.presence?.drain()]);
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
      if (added !== undefined) {
        void this.#pendingSync.tell();
        return added;
      }
    }
    this.#pendingSync.addDue(items);
    return this.#options.postgres.enqueue(items);
  }

  /** Rejects only when PostgreSQL serves the schedule and fails. */
  async claim(request: ClaimRequest): Promise<Claim> {
    const askedAt = performance.now();
    if (this.#awaySince === null) {
      const claim = await this.#tryRedis(() => this.#options.redis.claim(request));
      if (claim !== undefined) this.#claimedAt = performance.now();
      if (claim?.suspendedForMs === Infinity) this.#leaveRedis('Redis has lost its keys');
      else if (claim !== undefined) this.#noteShut(askedAt, claim.suspendedForMs);
      const shutOut = this.#shutOut;
      if (shutOut !== null && this.#isShutOut) return this.#claimRows(request, shutOut.since, () => shutOut.until);
      // Asked again before it may open: only so is a time in which it was shut throughout known to be one.
      if (claim !== undefined && shutOut !== null) return { ...claim, nextDueInMs: (shutOut.until - performance.now()) / 2 };
      if (claim !== undefined) return claim;
    }
    const awaySince = this.#awaySince;
    if (awaySince === null) return NOTHING;
    const look = (await this.#options.presence?.look()) ?? null;
    const isShut = performance.now() + MIN_CLAIM_MS <= this.#shutUntil;
    if (look?.isAnyServed === true && !isShut) return LEFT_TO_OTHERS;
    // What the others say is exact; without it, or while one of them claims, they may have taken from Redis until it was shut.
    const since =
      look === null || look.isAnyServed ? awaySince : Math.max(this.#claimedAt, look.claimedAt) + CLOCK_TOLERANCE_MS;
    if (look !== null && !isShut) return this.#claimRows(request, since, () => look.askedAt + LOOK_MS);
    // A process that was frozen since it shut Redis does not know whether the others have gone back meanwhile.
    return this.#claimRows(request, since, () =>
      this.#awaySince === null || this.#awaySince === awaySince ? this.#shutUntil : Number.NEGATIVE_INFINITY,
    );
  }

  /** Never rejects: a lease that could not be ended runs out, and whoever takes the delivery then reads the row first. */
  async release(settlements: readonly Settlement[]): Promise<void> {
    const inRows = settlements.filter(({ leasedIn }) => leasedIn === 'row');
    if (inRows.length > 0) {
      try {
        await this.#options.postgres.release(inRows);
      } catch (error) {
        this.#options.onError('leases could not be ended; they will run out', error);
      }
    }
    // After their rows: whoever takes them from Redis before reads that they are held, and puts them off for the whole lease.
    await this.settle(settlements);
  }

  /** Never rejects, as `release`. */
  async settle(settlements: readonly Settlement[]): Promise<void> {
    const inIndex = settlements.filter(({ leasedIn }) => leasedIn === 'index');
    // Redis does not know of holds in rows: what has come to an end needs nothing of it, and what is due again is new to it.
    const dueAgain = settlements.filter(({ leasedIn }) => leasedIn === 'row').filter(isDueAgain);
    // Nothing to tell asks nothing of Redis either, and must not count as its success.
    if (inIndex.length + dueAgain.length === 0) return;
    if (this.#awaySince === null) {
      const told = await this.#tryRedis(async () => {
        if (inIndex.length > 0) await this.#options.redis.settle(inIndex);
        if (dueAgain.length > 0) await this.#options.redis.enqueue(dueAgain);
        return true;
      });
      if (told !== undefined) {
        void this.#pendingSync.tell();
        return;
      }
    }
    this.#pendingSync.addSettled(inIndex);
    this.#pendingSync.addDue(dueAgain);
  }

  /**
   * @param since from when on Redis gave nothing out, to anybody that reaches it
   * @param shutUntil how long it does not, as far as is known now
   */
  async #claimRows(request: ClaimRequest, since: number, shutUntil: () => number): Promise<Claim> {
    const nowMs = performance.now();
    if (nowMs + MIN_CLAIM_MS > shutUntil()) return NOTHING;
    const { postgres, leaseMs } = this.#options;
    const awayMs = nowMs - since;
    const claiming = postgres.claim(request, awayMs > leaseMs ? null : awayMs);
    this.#claiming.add(claiming);
    const claim = await claiming.finally(() => this.#claiming.delete(claiming));
    if (claim.leased.length === 0) return claim;
    if (performance.now() <= shutUntil()) return claim;
    // It took too long: somebody may have had the same from Redis before these rows said that they are held.
    await this.release(claim.leased.map((lease) => ({ ...lease, dueAtMs: 0 })));
    return NOTHING;
  }

  #noteShut(askedAt: number, suspendedForMs: number | null): void {
    if (suspendedForMs === null) return;
    const before = this.#shutOut;
    const nowMs = performance.now();
    // Somewhere between the question and now Redis looked: the time it was shut begins no earlier, and lasts no longer, than that.
    const since = before !== null && nowMs <= before.until ? before.since : nowMs;
    this.#shutOut = suspendedForMs === 0 ? null : { since, until: askedAt + suspendedForMs };
  }

  get #isShutOut(): boolean {
    if (this.#shutOut === null) return false;
    const nowMs = performance.now();
    return nowMs > this.#shutOut.since + LONG_SUSPENSION_MS && nowMs < this.#shutOut.until;
  }

  async #tryRedis<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await call();
      this.#failures = 0;
      return result;
    } catch (error) {
      this.#failures += 1;
      this.#options.onFailure?.(error);
      if (this.#failures >= MAX_FAILURES || isTimeout(error) || isRefusal(error)) void this.#confirmAway(error);
      return undefined;
    }
  }

  // A process that got no processor for a while sees its commands time out although Redis is well: hence one more question.
  async #confirmAway(first: unknown): Promise<void> {
    if (this.#isConfirming || this.#awaySince !== null) return;
    this.#isConfirming = true;
    try {
      await this.#options.redis.checkWritable();
      this.#failures = 0;
    } catch (error) {
      // The check names what is missing. But what a replica answers ends its connection, too, and then the first error says more.
      this.#leaveRedis(explainRedisError(isRefusal(error) || !isRefusal(first) ? error : first));
    } finally {
      this.#isConfirming = false;
    }
  }

  // A Redis that answers reads and refuses writes looks well as long as nothing is due.
  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await pause(WATCH_INTERVAL_MS, signal);
      if (signal.aborted) return;
      if (this.#awaySince !== null) continue;
      await this.#options.redis.checkWritable().catch((error: unknown) => {
        this.#options.onFailure?.(error);
        return this.#confirmAway(error);
      });
    }
  }

  #leaveRedis(why: string): void {
    if (this.#awaySince !== null) return;
    this.#awaySince = performance.now();
    this.#shutUntil = Number.NEGATIVE_INFINITY;
    this.#shutOut = null;
    this.#sayWhy(why);
    void this.#options.presence?.write().catch(() => undefined);
    this.#probing = this.#probeUntilBack();
    for (const callback of this.#wakeCallbacks) callback();
  }

  #sayWhy(why: string | null): void {
    if (this.#saidWhy.has(why)) return;
    this.#saidWhy.add(why);
    this.#options.onDegraded(true, why);
  }

  async #probeUntilBack(): Promise<void> {
    const { signal } = this.#stopping;
    const { redis, isWorker } = this.#options;
    const question = async (): Promise<void> => {
      const answers = await Promise.allSettled([redis.checkWritable(), isWorker ? this.#suspendClaims() : null]);
      // Of two errors that of the check, which names what is missing.
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
    };
    while (!signal.aborted && !(await this.#returnAfter(question))) await pause(PROBE_INTERVAL_MS, signal);
  }

  async #suspendClaims(): Promise<void> {
    const sentAt = performance.now();
    let isAnswered = false;
    try {
      await this.#options.redis.suspendClaims();
      isAnswered = true;
    } finally {
      // The first time, or frozen since the last: others may have taken from Redis until now.
      if (sentAt > this.#shutUntil) this.#awaySince = performance.now();
      if (isAnswered || this.#options.presence === undefined) this.#shutUntil = sentAt + SUSPEND_MS;
    }
  }

  /** Goes back to Redis when it works and holds everything: one that lost its keys is filled by the reconciler first. */
  async #returnAfter(question: () => Promise<void>): Promise<boolean> {
    const { redis } = this.#options;
    try {
      const [, state] = await Promise.all([question(), redis.indexState()]);
      // Also while Redis is being filled: the pages already read do not hold what came meanwhile.
      void this.#pendingSync.tell();
      if (state !== 'complete' && state !== 'outdated') {
        this.#sayWhy(null);
        return false;
      }
    } catch (error) {
      if (isRefusal(error) || this.#saidWhy.size === 0) this.#sayWhy(explainRedisError(error));
      return false;
    }
    if (!(await this.#announce())) return false;
    this.#awaySince = null;
    this.#failures = 0;
    this.#saidWhy.clear();
    this.#options.onDegraded(false, null);
    void this.#resumeClaims();
    return true;
  }

  /** Says that Redis serves this process, and waits until those that could not ask Redis have read it. False: PostgreSQL did not take it. */
  async #announce(): Promise<boolean> {
    const { presence, isWorker } = this.#options;
    if (presence === undefined || !isWorker) return true;
    this.#isReturning = true;
    try {
      await presence.write();
      const { isAnyCutOff } = await presence.lookAgain();
      if (isAnyCutOff) await pause(LOOK_MS, this.#stopping.signal);
      return true;
    } catch {
      return false;
    } finally {
      this.#isReturning = false;
    }
  }

  async #resumeClaims(): Promise<void> {
    await Promise.allSettled(this.#claiming);
    // If it fails, the time for which Redis is shut runs out.
    if (this.#awaySince === null)
      await this.#options.redis.resumeClaims().catch((error: unknown) => this.#options.onFailure?.(error));
    for (const callback of this.#wakeCallbacks) callback();
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'Command timed out';
}

function isDueAgain<Entry extends Scheduled | Settlement>(entry: Entry): entry is Entry & Scheduled {
  return entry.dueAtMs !== null;
}
