// The schedule: when each delivery may next be taken, and by whom it is held.
import type { LongRunning } from '../lifecycle/long-running.ts';

/** A delivery and the moment it may next be taken. */
export interface Scheduled {
  readonly deliveryId: string;
  readonly webhookId: string;
  /** By PostgreSQL's clock, in milliseconds since 1970. */
  readonly dueAtMs: number;
  readonly leftAloneUntilMs?: LeftAloneUntilMs;
}

/**
 * Until when the delivery's webhook is to be left alone, since its receiver is away, by PostgreSQL's clock in milliseconds since 1970.
 * 0: its receiver answers. Undefined: nothing new.
 */
export type LeftAloneUntilMs = number | undefined;

/**
 * Where a hold is written: in the delivery's own row, as for all that was committed to be tried at once or claimed from PostgreSQL, or in
 * the index, as for what was claimed from Redis.
 */
export type LeaseStore = 'row' | 'index';

/** A delivery held by this process until the lease ends. Nobody else gets it before. */
export interface Leased {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly leasedIn: LeaseStore;
  /** Proves the hold: a settlement counts only with the token of the present lease. */
  readonly token: number;
  /** How often the delivery was held before by a process that never came back. */
  readonly expirations: number;
  /** When this process must regard the lease as lost, on its own monotonic clock (`performance.now()`). */
  readonly expiresAt: number;
  /** Whether it is the one by which this process finds out if a receiver that was away is back. */
  readonly isProbe?: boolean;
}

/** What to do with a held delivery. */
export interface Settlement {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly leasedIn: LeaseStore;
  readonly token: number;
  /** Null: it has come to an end. Else when it may be taken again, by PostgreSQL's clock in milliseconds since 1970. */
  readonly dueAtMs: number | null;
  readonly leftAloneUntilMs?: LeftAloneUntilMs;
}

export interface ClaimRequest {
  /** At most so many in all. */
  readonly max: number;
  /** At most so many of one webhook, so that a batch spreads over the webhooks that are due. */
  readonly perWebhook: number;
  /**
   * Other limits for single webhooks: tighter ones, of which 0 skips one, for those that this process is busy with or holds back; wider
   * ones for those whose receivers keep up with more. What is wider than usual takes only what the others leave.
   */
  readonly room: ReadonlyMap<string, number>;
  /** The same for webhooks whose receivers this process knows to be away: for a schedule that does not know it itself. */
  readonly roomOfSuspects?: () => ReadonlyMap<string, number>;
  /** How many receivers that were away may be probed with one delivery each; none unless said. */
  readonly maxProbes?: number;
}

export interface Claim {
  readonly leased: readonly Leased[];
  /** Milliseconds until the next delivery is due, when that can be told; 0 when more is due now. */
  readonly nextDueInMs: number | null;
  /** Whether something due may have been left behind because its webhook has less room than usual: worth a claim once it has more. */
  readonly isLimited: boolean;
}

/**
 * A visibility queue: an item has one score, the moment it may next be taken. Enqueueing, holding (now + lease), retrying and
 * recovering from a crash all set that score; nothing is promoted, nothing copied. PostgreSQL stays the truth: a schedule may
 * lose items (the reconciler puts them back) and may hold items that are over (the loader drops them).
 */
export interface Scheduler extends LongRunning {
  /** Adds items; those already known keep the earlier of both moments unless they are held. Returns how many were new. */
  enqueue(items: readonly Scheduled[]): Promise<number>;
  /** Takes due items, a few of each webhook: the longest-waiting webhooks first (Redis), or webhook after webhook (PostgreSQL). */
  claim(request: ClaimRequest): Promise<Claim>;
  /** Ends holds of items that were not tried; those whose token is not the present one are left alone. */
  release(settlements: readonly Settlement[]): Promise<void>;
  /** The same after an outcome is on record: by then the row says already that nobody holds it, and when it is due. */
  settle(settlements: readonly Settlement[]): Promise<void>;
  /** Calls back when something became due in any process, so that a sleeping dispatcher wakes. */
  onWake(callback: () => void): void;
}
