// When the schedule is asked next: at once while it has more, else when something becomes due, or when free places make a claim worth it.
import type { Claim } from '../schedule/scheduler.ts';

/** ms. The schedule is asked this often although nothing says that something is due. */
export const LONGEST_SLEEP_MS = 1000;
/** ms between claims while everything due belongs to webhooks that are busy or closed. */
const BLOCKED_SLEEP_MS = 50;
/** ms after the schedule or the database failed, whatever wakes it: each event would be another call to a server that is away. */
const FAILURE_SLEEP_MS = 500;

/** What a claim has brought. `no place`: none was made, since nothing can be taken. `failed`: the schedule or a store failed. */
export type ClaimResult = Claim | 'no place' | 'failed';

export interface ClaimLoopOptions {
  /** Claims once. Calls `begin` before it asks the schedule, and `answered` when it has replied. Never rejects. */
  readonly claim: () => Promise<ClaimResult>;
  /** Whether so little waits in this process that it can take more. */
  readonly isLow: () => boolean;
  /** A claim for lanes that were full is made when half of the last one has ended, and of this at least. */
  readonly minEnded: number;
}

export class ClaimLoop {
  readonly #options: ClaimLoopOptions;
  /** Whether the last claim left something due behind: then a free place is worth another claim. */
  #isMoreDue = false;
  /** Whether it left something because a webhook had no free places: then free places in such a lane are worth another claim. */
  #isLimited = false;
  /** Whether such a lane has had free places since the last claim. */
  #hasRegained = false;
  #comingBack: NodeJS.Timeout | null = null;
  /** How many deliveries the last claim brought, and how many requests have ended since it was asked. */
  #lastClaimed = 0;
  #endedSinceClaim = 0;
  #lastClaimAt = Number.NEGATIVE_INFINITY;
  #isRunning = false;
  #wake: () => void = () => undefined;
  #isResting = false;
  #wakeups = 0;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ClaimLoopOptions) {
    this.#options = options;
  }

  /** ms since the schedule last replied to a claim. */
  get ageMs(): number {
    return performance.now() - this.#lastClaimAt;
  }

  start(): void {
    this.#isRunning = true;
    this.#lastClaimAt = performance.now();
    this.#loop = this.#run();
  }

  /** Resolves when the claim that is under way has ended; no other follows. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#wake();
    await this.#loop;
  }

  wakeUp(): void {
    this.#wakeups += 1;
    if (!this.#isResting) this.#wake();
  }

  /** Wakes in time for a retry that is due before the schedule would be asked again. */
  wakeIn(delayMs: number): void {
    if (delayMs < LONGEST_SLEEP_MS) setTimeout(() => this.wakeUp(), delayMs);
  }

  /** The schedule is about to be asked: what ends and what frees from now on counts for the next claim. */
  begin(): void {
    this.#hasRegained = false;
    this.#endedSinceClaim = 0;
  }

  answered(claim: Claim): void {
    this.#lastClaimAt = performance.now();
    this.#isMoreDue = claim.nextDueInMs !== null && claim.nextDueInMs <= 0;
    this.#isLimited = claim.isLimited;
    this.#lastClaimed = claim.leased.length;
  }

  /** A request has ended. */
  countEnded(): void {
    this.#endedSinceClaim += 1;
  }

  /** A place is free. @param hasRegained whether its lane, which was full, has free places again */
  freed(hasRegained: boolean): void {
    if (hasRegained) this.#hasRegained = true;
    if (this.#isMoreDue && this.#options.isLow()) this.wakeUp();
    this.#comeBack();
  }

  /** The same for a lane whose rate limit was the reason: no place is free for others. */
  regained(hasRegained: boolean): void {
    if (hasRegained) this.#hasRegained = true;
    this.#comeBack();
  }

  async #run(): Promise<void> {
    while (this.#isRunning) {
      const wakeups = this.#wakeups;
      const result = await this.#options.claim();
      const sleepMs = this.#sleepAfter(result);
      this.#isResting = result === 'failed';
      if (sleepMs > 0 && (this.#isResting || wakeups === this.#wakeups) && this.#isRunning) await this.#sleep(sleepMs);
    }
  }

  #sleepAfter(result: ClaimResult): number {
    if (result === 'failed') return FAILURE_SLEEP_MS;
    if (result === 'no place') {
      // Something may be due: a free place makes the next claim.
      this.#isMoreDue = true;
      return LONGEST_SLEEP_MS;
    }
    this.#comeBack();
    if (!this.#isMoreDue) return Math.min(result.nextDueInMs ?? LONGEST_SLEEP_MS, LONGEST_SLEEP_MS);
    return result.leased.length > 0 ? 0 : BLOCKED_SLEEP_MS;
  }

  // A claim for what the last one left because lanes were full. It comes when half of the last claim has ended. A claim for each lane that
  // gets free places would mostly bring nothing.
  #comeBack(): void {
    if (!this.#isLimited || !this.#hasRegained || !this.#options.isLow()) return;
    if (this.#endedSinceClaim >= Math.max(this.#lastClaimed, this.#options.minEnded) / 2) return this.wakeUp();
    if (this.#comingBack !== null) return;
    this.#comingBack = setTimeout(
      () => {
        this.#comingBack = null;
        this.wakeUp();
      },
      Math.max(0, BLOCKED_SLEEP_MS - this.ageMs),
    );
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
