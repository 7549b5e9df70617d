// The schedule in PostgreSQL: the rows themselves, claimed with `for update skip locked`. For installations without Redis, or while it is
// away.
import type { Pool } from 'pg';
import { FAILURES_TO_OPEN } from '../domain/delivery-rules.ts';
import { claimDue, FIRST_TURN, type ClaimedRow } from '../persistence/queries/claim-due.ts';
import { listFailing } from '../persistence/queries/list-failing.ts';
import { putOff } from '../persistence/queries/put-off.ts';
import { releaseLeases } from '../persistence/queries/release-leases.ts';
import { AwayWebhooks, MAX_PROBES_PER_CLAIM } from './away-webhooks.ts';
import type { Claim, ClaimRequest, Leased, Scheduled, Scheduler, Settlement } from './scheduler.ts';

/** Behind a backlog one claim looks at so many webhooks, due or not, at some ten microseconds each. The next claim goes on behind them. */
const MAX_WEBHOOKS_PER_CLAIM = 500;
/** ms. What became due in other processes is seen within this time: no process sends a message about it. */
const POLL_INTERVAL_MS = 250;
/** ms. Between two parts of one walk in which nothing was due: a walk through 10,000 idle webhooks must not be a busy loop. */
const WALK_PAUSE_MS = 20;
/** ms. A probe that comes due while the claim is under way is one as well: the statement reads the server's clock, later than this process its own. */
const CLAIM_LEAD_MS = 250;
/** Failing webhooks of one statement when the process starts: what is put off of them is some hundred milliseconds of work at most. */
const FAILING_PAGE = 500;

export interface PostgresSchedulerOptions {
  readonly leaseMs: number;
  /** The number of this process, which its leases carry; 0 when it has none. */
  readonly holder?: () => number;
  /** PostgreSQL's clock, in milliseconds since 1970. */
  readonly now?: () => number;
  /**
   * Whether rows of webhooks whose receivers are away are put off. Not beside Redis: it may have leased such a row, and what becomes due after
   * Redis went away counts as leased by no process.
   */
  readonly putsOff?: boolean;
  /** Called when what waits for failing webhooks could not be put off at the start. */
  readonly onError?: (message: string, error: unknown) => void;
}

export class PostgresScheduler implements Scheduler {
  readonly name = 'postgres-scheduler';
  readonly #pool: Pool;
  readonly #leaseMs: number;
  readonly #holder: () => number;
  readonly #now: () => number;
  readonly #away: AwayWebhooks | null;
  readonly #onError: PostgresSchedulerOptions['onError'];
  readonly #wakeCallbacks: (() => void)[] = [];
  #after = FIRST_TURN;
  #isStopping = false;
  /** Ends when what waits for webhooks that have failed before is put off. No claim is made earlier; first tries from commits do not wait. */
  #puttingOff: Promise<void> = Promise.resolve();

  constructor(pool: Pool, options: PostgresSchedulerOptions) {
    this.#pool = pool;
    this.#leaseMs = options.leaseMs;
    this.#holder = options.holder ?? (() => 0);
    this.#now = options.now ?? Date.now;
    this.#away = options.putsOff === true ? new AwayWebhooks() : null;
    this.#onError = options.onError;
  }

  start(): Promise<void> {
    if (this.#away !== null) this.#puttingOff = this.#putOffFailing(this.#away);
    return Promise.resolve();
  }

  async drain(): Promise<void> {
    this.#isStopping = true;
    await this.#puttingOff;
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
    await this.#puttingOff;
    // Before the server reads its clock: this process must count a lease as over no later than the row does.
    const expiresAt = performance.now() + this.#leaseMs;
    const room = this.#roomFor(request);
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
    const leased = claimed.map((row) => {
      const lease = toLeased(row, expiresAt);
      return this.#away?.takeProbe(row.webhookId) === true ? { ...lease, isProbe: true } : lease;
    });
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
      settlements.map((settlement) => ({
        deliveryId: settlement.deliveryId,
        leasedUntilMs: settlement.token,
        dueAtMs: this.#dueAtMs(settlement),
      })),
    );
  }

  /** The rows are the schedule, and the outcomes are in them. What else waits for a receiver that was found away is put off with it. */
  async settle(settlements: readonly Settlement[]): Promise<void> {
    if (this.#away === null) return;
    const nowMs = this.#now();
    const away = new Map<string, number>();
    for (const { webhookId, leftAloneUntilMs = 0 } of settlements) {
      if (leftAloneUntilMs > nowMs) away.set(webhookId, this.#away.putOff(webhookId, leftAloneUntilMs, nowMs));
    }
    if (away.size > 0)
      await putOff(
        this.#pool,
        [...away].map(([webhookId, untilMs]) => ({ webhookId, untilMs })),
      );
  }

  /** The limits of a claim. What was put off is not met, so it is not named: by the thousand it would cost each claim. */
  #roomFor(request: ClaimRequest): Map<string, number> {
    const room = new Map(request.room);
    const byMs = this.#now() + CLAIM_LEAD_MS;
    for (const [webhookId, places] of request.roomOfSuspects?.() ?? []) {
      if (this.#away?.isPutOff(webhookId, byMs) !== true) room.set(webhookId, places);
    }
    let probes = 0;
    for (const webhookId of this.#away?.due(byMs) ?? []) {
      const places = probes < MAX_PROBES_PER_CLAIM ? Math.min(room.get(webhookId) ?? 1, 1) : 0;
      room.set(webhookId, places);
      probes += places;
    }
    return room;
  }

  /**
   * A process that starts knows no receivers yet. What waits for webhooks that have failed before is put off, so that it does not try all of
   * them before others. One that failed with responses is no suspect any more after its first probe.
   */
  async #putOffFailing(away: AwayWebhooks): Promise<void> {
    let afterWebhookId = '';
    try {
      for (;;) {
        const page = { afterWebhookId, minFailures: FAILURES_TO_OPEN, limit: FAILING_PAGE };
        const webhookIds = await listFailing(this.#pool, page);
        if (webhookIds.length === 0 || this.#isStopping) return;
        const nowMs = this.#now();
        await putOff(
          this.#pool,
          webhookIds.map((webhookId) => ({ webhookId, untilMs: away.putOff(webhookId, nowMs, nowMs) })),
        );
        if (webhookIds.length < FAILING_PAGE) return;
        afterWebhookId = webhookIds.at(-1) ?? '';
      }
    } catch (error) {
      if (this.#isStopping) return;
      this.#onError?.('what waits for failing webhooks could not be put off; this process finds them away one by one', error);
    }
  }

  #dueAtMs({ webhookId, dueAtMs, leftAloneUntilMs }: Settlement): number | null {
    if (dueAtMs === null || leftAloneUntilMs === undefined || this.#away === null) return dueAtMs;
    return this.#away.dueAtMs(webhookId, dueAtMs);
  }
}

function toLeased(row: ClaimedRow, expiresAt: number): Leased {
  const { deliveryId, webhookId, leasedUntilMs, expirations } = row;
  return { deliveryId, webhookId, leasedIn: 'row', token: leasedUntilMs, expirations, expiresAt };
}
