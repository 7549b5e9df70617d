// The schedule in PostgreSQL: the rows themselves, claimed with `for update skip locked`. For installations without Redis, or while it is
// away.
import type { Pool } from 'pg';
import { claimDue, FIRST_TURN, type ClaimedRow } from '../persistence/queries/claim-due.ts';
import { releaseLeases } from '../persistence/queries/release-leases.ts';
import type { Claim, ClaimRequest, Leased, Scheduled, Scheduler, Settlement } from './scheduler.ts';

/** Behind a backlog one claim looks at so many webhooks, due or not, at some ten microseconds each. The next claim goes on behind them. */
const MAX_WEBHOOKS_PER_CLAIM = 500;
/** ms. What became due in other processes is seen within this time: no process sends a message about it. */
const POLL_INTERVAL_MS = 250;
/** ms. Between two parts of one walk in which nothing was due: a walk through 10,000 idle webhooks must not be a busy loop. */
const WALK_PAUSE_MS = 20;

export class PostgresScheduler implements Scheduler {
  readonly name = 'postgres-scheduler';
  readonly #pool: Pool;
  readonly #leaseMs: number;
  readonly #holder: () => number;
  readonly #wakeCallbacks: (() => void)[] = [];
  #after = FIRST_TURN;

  constructor(pool: Pool, options: { readonly leaseMs: number; readonly holder?: () => number }) {
    this.#pool = pool;
    this.#leaseMs = options.leaseMs;
    this.#holder = options.holder ?? (() => 0);
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  drain(): Promise<void> {
    return Promise.resolve();
  }

  onWake(callback: () => void): void {
    this.#wakeCallbacks.push(callback);
  }

  /** The rows are the schedule, and the caller has written them: this only wakes. Nothing is new to it. */
  enqueue(items: readonly Scheduled[]): Promise<number> {
    if (items.length > 0) for (const callback of this.#wakeCallbacks) callback();
    return Promise.resolve(0);
  }

  /** @param dueWithinMs takes only what became due in the last so many milliseconds; null takes all (see FailoverScheduler) */
  async claim(request: ClaimRequest, dueWithinMs: number | null = null): Promise<Claim> {
    // Before the server reads its clock: this process must count a lease as over no later than the row does.
    const expiresAt = performance.now() + this.#leaseMs;
    const room = new Map([...request.room, ...(request.roomOfSuspects?.() ?? [])]);
    const { claimed, steps, last, isFull, ...look } = await claimDue(this.#pool, {
      ...request,
      room,
      leaseMs: this.#leaseMs,
      holder: this.#holder(),
      after: this.#after,
      maxWebhooks: MAX_WEBHOOKS_PER_CLAIM,
      dueWithinMs,
    });
    // A full claim stopped at the last webhook that it took from. That one may have more, but had its turn.
    const isEnd = !isFull && steps < MAX_WEBHOOKS_PER_CLAIM;
    const isWhole = isEnd && (look.isWhole || this.#after === FIRST_TURN);
    this.#after = isEnd ? FIRST_TURN : last;
    const leased = claimed.map((row) => toLeased(row, expiresAt));
    return {
      leased,
      nextDueInMs: leased.length > 0 ? 0 : isWhole ? POLL_INTERVAL_MS : WALK_PAUSE_MS,
      isLimited: room.size > 0,
    };
  }

  async release(settlements: readonly Settlement[]): Promise<void> {
    if (settlements.length === 0) return;
    await releaseLeases(
      this.#pool,
      settlements.map(({ deliveryId, token, dueAtMs }) => ({ deliveryId, leasedUntilMs: token, dueAtMs })),
    );
  }

  /** Nothing to do: the rows are the schedule. */
  settle(): Promise<void> {
    return Promise.resolve();
  }
}

function toLeased(row: ClaimedRow, expiresAt: number): Leased {
  const { deliveryId, webhookId, leasedUntilMs, expirations } = row;
  return { deliveryId, webhookId, leasedIn: 'row', token: leasedUntilMs, expirations, expiresAt };
}
