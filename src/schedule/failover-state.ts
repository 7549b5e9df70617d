// Which store serves the schedule, and which rows may be claimed: a state machine without I/O. Every time is in milliseconds on the monotonic
// clock of this process (`performance.now()`), and is given by the caller.
import { LOOK_MS, type Look } from './redis-presence.ts';
import { SUSPEND_MS } from './redis-scheduler.ts';

/** One failure may be a command that a broken connection took with it. Two in a row are worth a question. A refusal is worth one at once. */
const MAX_FAILURES = 2;
/** If others have suspended claims for so long, one of them cannot return to Redis. This process then claims from PostgreSQL as well. */
const LONG_SUSPENSION_MS = 2 * SUSPEND_MS;
/** What must be left of a suspension for a claim from PostgreSQL to begin. */
export const MIN_CLAIM_MS = 250;
/** Redis' clock may be ahead of PostgreSQL's by half of this without being corrected (shard.lua), and so give out what is due that much later. */
const CLOCK_TOLERANCE_MS = 100;

/** When rows may be claimed: since `since` Redis has given nothing out, and it gives nothing out until `until()`, as far as is known now. */
export interface RowWindow {
  readonly since: number;
  readonly until: () => number;
}

/** Claims that other processes have suspended, without a gap. */
interface Suspension {
  readonly since: number;
  readonly until: number;
}

export class FailoverState {
  /** Null while Redis serves. Before its first reply Redis counts as away. */
  #awaySince: number | null;
  /** Until when this process has suspended claims for all. */
  #suspendedUntil = Number.NEGATIVE_INFINITY;
  /** When Redis last replied to a claim. What became due later, this process cannot have leased there. */
  #claimedAt: number;
  #byOthers: Suspension | null = null;
  #failures = 0;

  constructor(nowMs: number) {
    this.#awaySince = nowMs;
    this.#claimedAt = nowMs;
  }

  get store(): 'redis' | 'postgres' {
    return this.#awaySince === null ? 'redis' : 'postgres';
  }

  get claimedAt(): number {
    return this.#claimedAt;
  }

  /** Whether PostgreSQL serves because Redis is away or being filled, or because another process cannot return to it. */
  isDegraded(nowMs: number): boolean {
    return this.#awaySince !== null || this.#isLongSuspended(nowMs);
  }

  redisWorked(): void {
    this.#failures = 0;
  }

  /** @returns whether to ask Redis once more, and to leave it if it fails again */
  redisFailed(isDecisive: boolean): boolean {
    this.#failures += 1;
    return isDecisive || this.#failures >= MAX_FAILURES;
  }

  /**
   * Redis has replied to a claim that was sent at `sentAt`.
   * @param suspendedForMs how long others have suspended claims for from then on; 0: not at all; null: the reply does not say
   */
  claimAnswered(sentAt: number, nowMs: number, suspendedForMs: number | null): void {
    this.#claimedAt = nowMs;
    if (suspendedForMs === null) return;
    // Redis looked at some time between `sentAt` and now. The suspension begins no earlier and lasts no longer than that.
    const before = this.#byOthers;
    const since = before !== null && nowMs <= before.until ? before.since : nowMs;
    this.#byOthers = suspendedForMs === 0 ? null : { since, until: sentAt + suspendedForMs };
  }

  /** @returns false when PostgreSQL served already */
  leave(nowMs: number): boolean {
    if (this.#awaySince !== null) return false;
    this.#awaySince = nowMs;
    this.#suspendedUntil = Number.NEGATIVE_INFINITY;
    this.#byOthers = null;
    return true;
  }

  /** Redis has been asked at `sentAt` to suspend claims. @param holds whether it counts as suspended */
  suspendSent(sentAt: number, nowMs: number, holds: boolean): void {
    // The first time, or this process was frozen since the last: others may have claimed from Redis until now.
    if (sentAt > this.#suspendedUntil) this.#awaySince = nowMs;
    if (holds) this.#suspendedUntil = sentAt + SUSPEND_MS;
  }

  returned(): void {
    this.#awaySince = null;
    this.#failures = 0;
  }

  /**
   * What claims of others mean for this one while Redis serves: rows may be claimed, nothing is due before `retryInMs`, or null: the claim
   * from Redis stands.
   */
  whileServed(nowMs: number): RowWindow | { readonly retryInMs: number } | null {
    const byOthers = this.#byOthers;
    if (byOthers === null) return null;
    if (this.#isLongSuspended(nowMs)) return { since: byOthers.since, until: () => byOthers.until };
    // Claimed again before the suspension may end: only so is it known to have had no gap.
    return { retryInMs: (byOthers.until - nowMs) / 2 };
  }

  /**
   * Which rows may be claimed while Redis is away. Null: Redis serves another process, and this one has not suspended its claims.
   * @param look what the other processes say; null when they cannot be asked
   */
  whileAway(nowMs: number, look: Look | null): RowWindow | null {
    const awaySince = this.#awaySince ?? nowMs;
    const isSuspended = nowMs + MIN_CLAIM_MS <= this.#suspendedUntil;
    if (look?.isAnyServed === true && !isSuspended) return null;
    // What the others say is exact. Without it, or while one of them claims, they may have claimed from Redis until it was suspended.
    const since =
      look === null || look.isAnyServed ? awaySince : Math.max(this.#claimedAt, look.claimedAt) + CLOCK_TOLERANCE_MS;
    if (look !== null && !isSuspended) return { since, until: () => look.askedAt + LOOK_MS };
    // A process that was frozen after it suspended claims does not know whether the others have returned meanwhile.
    const isSame = (): boolean => this.#awaySince === null || this.#awaySince === awaySince;
    return { since, until: () => (isSame() ? this.#suspendedUntil : Number.NEGATIVE_INFINITY) };
  }

  #isLongSuspended(nowMs: number): boolean {
    return this.#byOthers !== null && nowMs > this.#byOthers.since + LONG_SUSPENSION_MS && nowMs < this.#byOthers.until;
  }
}
