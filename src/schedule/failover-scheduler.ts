// The schedule in Redis while Redis serves, in PostgreSQL while it does not.
import { pause } from '../lifecycle/pause.ts';
import { explainRedisError, isRefusal, isTimeout } from '../persistence/redis-refusal.ts';
import type { PostgresScheduler } from './postgres-scheduler.ts';
import { LOOK_MS, type RedisPresence } from './redis-presence.ts';
import { FailoverState, MIN_CLAIM_MS, type RowWindow } from './failover-state.ts';
import type { RedisScheduler } from './redis-scheduler.ts';
import type { Claim, ClaimRequest, Scheduled, Scheduler, Settlement } from './scheduler.ts';
import { PendingSync } from './pending-sync.ts';

/** ms. While Redis serves, it is checked this often, so that PostgreSQL takes over within two seconds. */
const WATCH_INTERVAL_MS = 1000;
/** ms between two checks of a Redis that is away; SUSPEND_MS is a multiple of it. */
const PROBE_INTERVAL_MS = 250;
/** ms before the second try of a claim that failed. */
const RETRY_DELAY_MS = 50;

/** Another process claims from Redis. This one looks again before the other can be missed. */
const LEFT_TO_OTHERS: Claim = { leased: [], nextDueInMs: LOOK_MS / 2, isLimited: false };
const NOTHING: Claim = { leased: [], nextDueInMs: RETRY_DELAY_MS, isLimited: false };

export interface FailoverOptions {
  readonly redis: RedisScheduler;
  readonly postgres: PostgresScheduler;
  readonly leaseMs: number;
  /** Whether this process ever claims. One that only publishes suspends nothing. */
  readonly isWorker: boolean;
  /** How processes learn which of them Redis serves. Without it each acts as if it alone were cut off. */
  readonly presence?: RedisPresence | undefined;
  /** @param why a sentence that says what is wrong with Redis; null when it is new and has to be filled first, or is back */
  readonly onDegraded: (degraded: boolean, why: string | null) => void;
  readonly onError: (message: string, error: unknown) => void;
  /** Called for each call that Redis failed, whether Redis is left for it or not. */
  readonly onFailure?: (error: unknown) => void;
}

/**
 * Three rules keep a delivery from being sent twice when the schedule changes hands:
 * - A process may have leased in Redis what was due before Redis went away. PostgreSQL gives that out one lease later. What becomes due
 *   later, no process can have leased there.
 * - What PostgreSQL gives out is leased in its row, as is what was leased on insert. A process that claims the same delivery from Redis sees
 *   that when it loads the row.
 * - The other way round no process would see it. So each check of a process that claims from PostgreSQL suspends claims from Redis for all,
 *   until it has returned and every row that it claimed is committed.
 */
export class FailoverScheduler implements Scheduler {
  readonly name = 'schedule';
  readonly #options: FailoverOptions;
  readonly #state = new FailoverState(performance.now());
  /** It is about to serve from Redis, and announces that first. */
  #isReturning = false;
  readonly #pendingSync: PendingSync;
  /** Claims from PostgreSQL that are under way. */
  readonly #claiming = new Set<Promise<Claim>>();
  #isConfirming = false;
  readonly #stopping = new AbortController();
  #probing: Promise<void> = Promise.resolve();
  #watching: Promise<void> = Promise.resolve();
  /** What was logged since Redis was left; each sentence once. */
  readonly #saidWhy = new Set<string | null>();
  readonly #wakeCallbacks: (() => void)[] = [];

  constructor(options: FailoverOptions) {
    this.#options = options;
    this.#pendingSync = new PendingSync(options.redis, (error) => options.onFailure?.(error));
  }

  /** See FailoverState. */
  get isDegraded(): boolean {
    return this.#state.isDegraded(performance.now());
  }

  async start(): Promise<void> {
    const { redis, postgres, presence } = this.#options;
    await Promise.all([redis.start(), postgres.start()]);
    presence?.start(() => ({
      isServed: this.#isServed || this.#isReturning,
      claimedAgoMs: performance.now() - this.#state.claimedAt,
    }));
    // Nothing was claimed from PostgreSQL yet, so there is nothing to suspend claims for.
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
    if (this.#isServed) {
      const added = await this.#tryRedis(() => this.#options.redis.enqueue(items));
      if (added !== undefined) {
        void this.#pendingSync.send();
        return added;
      }
    }
    this.#pendingSync.addDue(items);
    return this.#options.postgres.enqueue(items);
  }

  /** Rejects only when PostgreSQL serves the schedule and fails. */
  async claim(request: ClaimRequest): Promise<Claim> {
    if (this.#isServed) {
      const sentAt = performance.now();
      const claim = await this.#tryRedis(() => this.#options.redis.claim(request));
      if (claim !== undefined) {
        const isEmptied = claim.suspendedForMs === Infinity;
        this.#state.claimAnswered(sentAt, performance.now(), isEmptied ? null : claim.suspendedForMs);
        if (!isEmptied) return this.#considerOthers(request, claim);
        this.#leaveRedis('Redis has lost its keys');
      }
    }
    if (this.#isServed) return NOTHING;
    const look = (await this.#options.presence?.look()) ?? null;
    const window = this.#state.whileAway(performance.now(), look);
    return window === null ? LEFT_TO_OTHERS : this.#claimRows(request, window);
  }

  /** Never rejects: a lease that could not be ended runs out, and the process that claims the delivery then reads the row first. */
  async release(settlements: readonly Settlement[]): Promise<void> {
    const inRows = settlements.filter(({ leasedIn }) => leasedIn === 'row');
    if (inRows.length > 0) {
      try {
        await this.#options.postgres.release(inRows);
      } catch (error) {
        this.#options.onError('leases could not be ended; they will run out', error);
      }
    }
    // After their rows: a process that claims them from Redis before reads that they are leased, and puts them off for the whole lease.
    await this.settle(settlements);
  }

  /** Never rejects, as `release`. */
  async settle(settlements: readonly Settlement[]): Promise<void> {
    const inIndex = settlements.filter(({ leasedIn }) => leasedIn === 'index');
    // Redis has no entry for a lease in a row. What has ended needs nothing of Redis, and what is due again is new to it.
    const dueAgain = settlements.filter(({ leasedIn }) => leasedIn === 'row').filter(isDueAgain);
    // Without a call there is no success of Redis to count.
    if (inIndex.length + dueAgain.length === 0) return;
    if (this.#isServed) {
      const sent = await this.#tryRedis(async () => {
        if (inIndex.length > 0) await this.#options.redis.settle(inIndex);
        if (dueAgain.length > 0) await this.#options.redis.enqueue(dueAgain);
        return true;
      });
      if (sent !== undefined) {
        void this.#pendingSync.send();
        return;
      }
    }
    this.#pendingSync.addSettled(inIndex);
    this.#pendingSync.addDue(dueAgain);
  }

  /** What a claim from Redis is worth while other processes suspend claims. */
  async #considerOthers(request: ClaimRequest, claim: Claim): Promise<Claim> {
    const found = this.#state.whileServed(performance.now());
    if (found === null) return claim;
    return 'retryInMs' in found ? { ...claim, nextDueInMs: found.retryInMs } : this.#claimRows(request, found);
  }

  async #claimRows(request: ClaimRequest, { since, until }: RowWindow): Promise<Claim> {
    const nowMs = performance.now();
    if (nowMs + MIN_CLAIM_MS > until()) return NOTHING;
    const { postgres, leaseMs } = this.#options;
    const awayMs = nowMs - since;
    const claiming = postgres.claim(request, awayMs > leaseMs ? null : awayMs);
    this.#claiming.add(claiming);
    const claim = await claiming.finally(() => this.#claiming.delete(claiming));
    if (claim.leased.length === 0) return claim;
    if (performance.now() <= until()) return claim;
    // It took too long: another process may have claimed the same from Redis before these rows were leased.
    await this.release(claim.leased.map((lease) => ({ ...lease, dueAtMs: 0 })));
    return NOTHING;
  }

  get #isServed(): boolean {
    return this.#state.store === 'redis';
  }

  async #tryRedis<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      const result = await call();
      this.#state.redisWorked();
      return result;
    } catch (error) {
      this.#options.onFailure?.(error);
      if (this.#state.redisFailed(isTimeout(error) || isRefusal(error))) void this.#confirmAway(error);
      return undefined;
    }
  }

  // A process that got no processor for a while sees its commands time out although Redis is well: hence one more check.
  async #confirmAway(first: unknown): Promise<void> {
    if (this.#isConfirming || !this.#isServed) return;
    this.#isConfirming = true;
    try {
      await this.#options.redis.checkWritable();
      this.#state.redisWorked();
    } catch (error) {
      // The check names what is missing. A replica's reply ends its connection too, and then the first error says more.
      this.#leaveRedis(explainRedisError(isRefusal(error) || !isRefusal(first) ? error : first));
    } finally {
      this.#isConfirming = false;
    }
  }

  // A Redis that serves reads and refuses writes looks well as long as nothing is due.
  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await pause(WATCH_INTERVAL_MS, signal);
      if (signal.aborted) return;
      if (!this.#isServed) continue;
      await this.#options.redis.checkWritable().catch((error: unknown) => {
        this.#options.onFailure?.(error);
        return this.#confirmAway(error);
      });
    }
  }

  #leaveRedis(why: string): void {
    if (!this.#state.leave(performance.now())) return;
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
      // Where no other process could learn that this one is away, its claims count as suspended without a reply as well.
      this.#state.suspendSent(sentAt, performance.now(), isAnswered || this.#options.presence === undefined);
    }
  }

  /** Goes back to Redis when it works and is complete. One that lost its keys is filled by the reconciler first. */
  async #returnAfter(question: () => Promise<void>): Promise<boolean> {
    const { redis } = this.#options;
    try {
      const [, state] = await Promise.all([question(), redis.indexState()]);
      // Also while Redis is being filled: the pages already read lack what came meanwhile.
      void this.#pendingSync.send();
      if (state !== 'complete' && state !== 'outdated') {
        this.#sayWhy(null);
        return false;
      }
    } catch (error) {
      if (isRefusal(error) || this.#saidWhy.size === 0) this.#sayWhy(explainRedisError(error));
      return false;
    }
    if (!(await this.#announce())) return false;
    this.#state.returned();
    this.#saidWhy.clear();
    this.#options.onDegraded(false, null);
    void this.#resumeClaims();
    return true;
  }

  /**
   * Reports that Redis serves this process, and waits until the processes without Redis have read it. False: PostgreSQL did not take it.
   */
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
    // If it fails, the suspension runs out.
    if (this.#isServed) await this.#options.redis.resumeClaims().catch((error: unknown) => this.#options.onFailure?.(error));
    for (const callback of this.#wakeCallbacks) callback();
  }
}

function isDueAgain<Entry extends Scheduled | Settlement>(entry: Entry): entry is Entry & Scheduled {
  return entry.dueAtMs !== null;
}
