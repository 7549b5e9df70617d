// The schedule: when each delivery may next be claimed, and its lease.
import type { LongRunning } from '../lifecycle/long-running.ts';

/** A delivery, and when it may next be claimed. */
export interface Scheduled {
  readonly deliveryId: string;
  readonly webhookId: string;
  /** By PostgreSQL's clock, in milliseconds since 1970. */
  readonly dueAtMs: number;
  readonly leftAloneUntilMs?: LeftAloneUntilMs;
}

/**
 * ms since 1970, by PostgreSQL's clock. Until when the delivery's webhook is left alone, since its receiver is away. 0: the receiver
 * responds. Undefined: nothing new.
 */
export type LeftAloneUntilMs = number | undefined;

/** Where a lease is written: in the delivery's own row, by an insert or a claim from PostgreSQL; or in the index, by a claim from Redis. */
export type LeaseStore = 'row' | 'index';

/** A delivery leased by this process. No other process gets it before the lease ends. */
export interface Leased {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly leasedIn: LeaseStore;
  /** Proves the lease: a settlement counts only with the token of the present one. */
  readonly token: number;
  /** How many leases of this delivery ran out without an outcome. */
  readonly expirations: number;
  /** When this process must regard the lease as lost, on its own monotonic clock (`performance.now()`). */
  readonly expiresAt: number;
  /** Whether it is the one that finds out if a receiver that was away is back. */
  readonly isProbe?: boolean;
}

/** What to do with a leased delivery. */
export interface Settlement {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly leasedIn: LeaseStore;
  readonly token: number;
  /** Null: it has ended. Else when it may be claimed again, by PostgreSQL's clock in milliseconds since 1970. */
  readonly dueAtMs: number | null;
  readonly leftAloneUntilMs?: LeftAloneUntilMs;
}

export interface ClaimRequest {
  /** At most so many in all. */
  readonly max: number;
  /** At most so many of one webhook, so that a batch spreads over the webhooks that are due. */
  readonly perWebhook: number;
  /**
   * Other limits for single webhooks: tighter ones for those that this process is busy with or keeps closed, of which 0 skips one; wider
   * ones for those whose receivers keep up with more. A wider one takes only what the others leave.
   */
  readonly room: ReadonlyMap<string, number>;
  /** The same for webhooks whose receivers this process has found away, for a schedule without that information. */
  readonly roomOfSuspects?: () => ReadonlyMap<string, number>;
  /** How many receivers that were away may be probed with one delivery each; none unless said. */
  readonly maxProbes?: number;
}

export interface Claim {
  readonly leased: readonly Leased[];
  /** Milliseconds until the next delivery is due; 0 when more is due now; null when unknown. */
  readonly nextDueInMs: number | null;
  /** Whether something due may have been left because its webhook has fewer free places than usual: worth a claim once it has more. */
  readonly isLimited: boolean;
}

/**
 * A visibility queue: an item has one score, the moment it may next be claimed. Enqueueing, leasing (now + lease), retrying and recovering
 * from a crash all set that score; nothing is promoted, nothing copied. PostgreSQL stays the truth: a schedule may lose items (the
 * reconciler puts them back) and may have items that are over (the loader drops them).
 */
export interface Scheduler extends LongRunning {
  /** Adds items; those already known keep the earlier of both moments unless they are leased. Returns how many were new. */
  enqueue(items: readonly Scheduled[]): Promise<number>;
  /** Takes due items, a few of each webhook: the longest-waiting webhooks first (Redis), or webhook after webhook (PostgreSQL). */
  claim(request: ClaimRequest): Promise<Claim>;
  /** Ends leases without an attempt; those whose token is not the present one are left alone. */
  release(settlements: readonly Settlement[]): Promise<void>;
  /** The same after an outcome is on record: the row already has no lease, and says when it is due. */
  settle(settlements: readonly Settlement[]): Promise<void>;
  /** Calls back when something became due in any process, so that a sleeping dispatcher wakes. */
  onWake(callback: () => void): void;
}
