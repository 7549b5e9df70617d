// The dispatcher: takes due deliveries from the schedule, or straight from a commit, and keeps as many in flight as may be.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import type { InsertLeaseRequest, EventRow } from '../persistence/queries/insert-events.ts';
import { confirmDeliveries } from '../persistence/queries/confirm-deliveries.ts';
import { type LoadedDelivery, loadDeliveries } from '../persistence/queries/load-deliveries.ts';
import { hasBegun, hasExpired } from '../domain/delivery.ts';
import { MAX_LEASE_EXPIRATIONS, ruleOfWebhook } from '../domain/delivery-rules.ts';
import { enqueueAfter } from '../schedule/enqueue-turns.ts';
import type { Leased, Scheduled, Scheduler } from '../schedule/scheduler.ts';
import type { Commit } from '../service/publisher.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { failed, LEASE_MARGIN_MS, type Attempt } from './attempt.ts';
import { ClaimLoop, type ClaimResult } from './claim-loop.ts';
import type { Lane, Started } from './lane.ts';
import { Lanes } from './lanes.ts';
import { chooseInsertLeases } from './insert-lease.ts';
import { LeaseReleaser } from './lease-releaser.ts';
import type { Recorder } from './recorder.ts';
import { sortClaimed } from './sort-claimed.ts';
import { InsertedTask, type Task } from './task.ts';
import type { Target, WebhookDirectory } from './webhook-directory.ts';

/** One claim and one load; about a millisecond of work for either store. */
const MAX_CLAIM = 500;
/** ms until a delivery is due again whose hold, or end, could not be written. */
const HOLD_RETRY_MS = 50;
/** ms until a delivery is due again whose attempt threw. */
const FAILURE_SLEEP_MS = 500;
/**
 * ms. After the database was away so long passes before anything is claimed. Processes whose leases have run out meanwhile write first
 * what they have sent (recorder.ts); what is written is not sent again.
 */
const OUTCOMES_FIRST_MS = 500;
/** Between the tries of a webhook's deliveries while something of this machine's runs short, in milliseconds. */
const SHORTAGE_SLEEP_MS = 1000;
/** The same while the key of a webhook's secrets is missing, which takes a restart to mend. */
const KEY_SLEEP_MS = 60_000;

const GONE = 410;
/** Longer than writing an outcome takes, in milliseconds. */
const GONE_PAUSE_MS = 2000;

export interface DispatcherOptions {
  readonly pool: Pool;
  readonly scheduler: Scheduler;
  readonly directory: WebhookDirectory;
  readonly recorder: Recorder;
  /** Cancels a delivery whose webhook was closed. */
  readonly cancel: (deliveryId: string) => Promise<void>;
  /** Ends a delivery whose `deliver_before` has come; false: it has not come by PostgreSQL's clock, or the row is locked. */
  readonly expire: (deliveryId: string) => Promise<boolean>;
  /** Holds a delivery whose webhook was paused; false: it is not paused any more, or the row is locked. */
  readonly hold: (deliveryId: string) => Promise<boolean>;
  readonly send: Attempt;
  /** Milliseconds to wait before the next request to this webhook, by its rate limit; 0 to send it. */
  readonly rateLimitWaitMs: (target: Target) => Promise<number> | number;
  readonly maxConcurrency: number;
  readonly endpointConcurrency: number;
  /** ms. For how long deliveries are leased on insert. */
  readonly leaseMs: number;
  /** The number of this process, which its leases carry; 0 when it has none. */
  readonly holder?: () => number;
  /** Whether another process may attempt the delivery, though its lease has not run out (see Holder). */
  readonly isLost?: (lease: Leased) => boolean;
  /** No attempt takes longer, in milliseconds. */
  readonly maxTimeoutMs: number;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
  /** Milliseconds given to requests in flight when stopping. */
  readonly shutdownGraceMs: number;
  /** Called when the grace is over: ends what is in flight. */
  readonly abort: () => void;
  readonly telemetry: Telemetry;
}

export class Dispatcher implements LongRunning {
  readonly name = 'dispatcher';
  readonly #options: DispatcherOptions;
  readonly #lanes: Lanes;
  #isAccepting = false;
  readonly #claims: ClaimLoop;
  readonly #leases: LeaseReleaser;
  #isPumping = false;
  /** Whether the last claim, or the load of what it brought, has failed. */
  #hasFailed = false;
  #lackedKeyAt = Number.NEGATIVE_INFINITY;
  #drained: Promise<void> | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#lanes = new Lanes(options);
    this.#claims = new ClaimLoop({
      claim: () => this.#claim(),
      isLow: () => this.#lanes.isLow,
      minEnded: options.endpointConcurrency,
    });
    this.#leases = new LeaseReleaser({
      scheduler: options.scheduler,
      now: options.now,
      onGivenUp: (error) =>
        options.telemetry.log.warn({ err: error }, 'leases could not be ended in the schedule; they will run out'),
    });
    options.scheduler.onWake(() => this.#claims.wakeUp());
  }

  /** Deliveries being sent at this moment. */
  get inFlight(): number {
    return this.#lanes.inFlight;
  }

  /** ms since the schedule last replied to a claim. Readiness depends on it. */
  get claimAgeMs(): number {
    return this.#claims.ageMs;
  }

  /** Whether deliveries wait for a key that WEBHOOK_SECRET_KEYS lacks. */
  get lacksKey(): boolean {
    return performance.now() - this.#lackedKeyAt < 2 * KEY_SLEEP_MS;
  }

  start(): Promise<void> {
    this.#isAccepting = true;
    this.#claims.start();
    return Promise.resolve();
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  /** The leases that the events about to be committed may have, so that this process attempts them at once. Null: none. */
  insertLeaseFor(events: readonly EventRow[]): InsertLeaseRequest | null {
    if (!this.#isAccepting || this.#options.recorder.isStalled) return null;
    const { leaseMs, holder } = this.#options;
    return chooseInsertLeases(this.#lanes, events, { leaseMs, holder: holder?.() ?? 0 }, performance.now());
  }

  /**
   * Takes over what was just committed. What is leased is sent at once, its body still in memory; the rest is scheduled. Never rejects:
   * what the schedule did not take, the reconciler enqueues.
   */
  async accept({ events, createdAtMs, lease }: Commit): Promise<void> {
    const now = performance.now();
    const dueAtMs = this.#options.now();
    const later: Scheduled[] = [];
    const unwanted: Leased[] = [];
    const insertLease = lease === null ? null : { createdAtMs, ...lease };
    for (const { event, deliveries } of events) {
      // When they are due, their rows decide (service/announce-commit.ts).
      if (event.collapseKey !== null) continue;
      for (const delivery of deliveries) {
        const { deliveryId, webhookId } = delivery;
        if (delivery.isHeld || delivery.endedAs !== null || delivery.ordering?.waits === true) continue;
        if (insertLease === null || !delivery.isLeased) later.push({ deliveryId, webhookId, dueAtMs });
        // Draining has begun meanwhile, and the lanes are not read again.
        else if (!this.#isAccepting) unwanted.push(new InsertedTask(delivery, event, insertLease));
        else this.#lanes.push(new InsertedTask(delivery, event, insertLease), delivery.userId, now);
      }
    }
    this.#release(unwanted, 0);
    this.#pump();
    if (later.length === 0) return;
    try {
      await this.#options.scheduler.enqueue(later);
    } catch (error) {
      this.#options.telemetry.log.warn({ err: error }, 'committed deliveries were not scheduled; the reconciler will');
    }
  }

  /** Wakes the dispatcher in time for a retry that is due before it would look again. */
  wakeIn(delayMs: number): void {
    this.#claims.wakeIn(delayMs);
  }

  /** One claim, and the load of what it brought. */
  async #claim(): Promise<ClaimResult> {
    const { scheduler, recorder, endpointConcurrency } = this.#options;
    if (recorder.isStalled) return 'failed';
    this.#pump();
    for (const lane of this.#lanes.overShare(performance.now())) this.#handBack(lane, performance.now());
    const max = Math.min(MAX_CLAIM, this.#lanes.claimable(performance.now()));
    if (max === 0) return 'no place';
    const room = this.#lanes.room(performance.now());
    this.#claims.begin();
    try {
      if (this.#hasFailed) await this.#waitForOutcomes();
      const claim = await scheduler.claim({
        max,
        perWebhook: endpointConcurrency,
        room,
        roomOfSuspects: () => this.#lanes.roomOfSuspects(performance.now()),
        maxProbes: this.#lanes.maxProbes,
      });
      this.#claims.answered(claim);
      if (claim.leased.length > 0) {
        await this.#load(claim.leased);
        this.#lanes.learnFilled(claim.leased, room, performance.now());
      }
      return claim;
    } catch (error) {
      if (!this.#hasFailed)
        this.#options.telemetry.log.warn({ err: error }, 'due deliveries cannot be taken; trying until they can');
      this.#hasFailed = true;
      return 'failed';
    }
  }

  async #waitForOutcomes(): Promise<void> {
    await this.#options.pool.query('select 1');
    await pause(OUTCOMES_FIRST_MS);
    this.#hasFailed = false;
  }

  async #load(leased: readonly Leased[]): Promise<void> {
    const { events } = this.#options.telemetry;
    events.deliveriesLeased(leased.length);
    // Counted now, since later steps may fail and give them back: these leases have run out all the same.
    events.leaseExpired(leased.filter((lease) => lease.expirations > 0).length);
    let rows: readonly LoadedDelivery[];
    try {
      rows = await this.#confirm(leased, await loadDeliveries(this.#options.pool, leased));
    } catch (error) {
      this.#release(leased, 0);
      throw error;
    }
    let bytes = 0;
    for (const row of rows) bytes += row.data?.length ?? 0;
    this.#lanes.learnBytes(rows.length, bytes);
    const now = performance.now();
    const sorted = sortClaimed(leased, rows, this.#options.now());
    const { tasks, settlements, endedInChains, unknownMembers, expiredInRows } = sorted;
    for (const task of tasks) {
      if (!this.#lanes.push(task, task.userId, now)) settlements.push({ ...task.lease, dueAtMs: this.#options.now() });
    }
    events.unknownMembersRemoved(unknownMembers);
    events.leaseExpired(expiredInRows);
    this.#leases.end(settlements);
    this.#pump();
    const { pool, scheduler, telemetry } = this.#options;
    void enqueueAfter({ pool, scheduler, log: telemetry.log }, endedInChains);
  }

  /** Puts off what has a collapse key and is being changed at this moment; loaded again, it has ended. A lease in its row shows by itself. */
  async #confirm(leased: readonly Leased[], rows: readonly LoadedDelivery[]): Promise<readonly LoadedDelivery[]> {
    const collapsing = rows.filter(({ collapseKey, waitMs }) => collapseKey !== null && waitMs === 0).map(({ id }) => id);
    if (collapsing.length === 0 || leased[0]?.leasedIn === 'row') return rows;
    const confirmed = await confirmDeliveries(this.#options.pool, collapsing);
    const isLeft = new Set(collapsing.filter((id) => !confirmed.has(id)));
    return rows.map((row) => (isLeft.has(row.id) ? { ...row, waitMs: HOLD_RETRY_MS } : row));
  }

  /** Starts what may be started. */
  #pump(): void {
    // A delivery that cannot be tried ends at once and comes back here: the loop that is running takes the next.
    if (this.#isPumping || this.#options.recorder.isStalled || !this.#isAccepting) return;
    this.#isPumping = true;
    const now = performance.now();
    const onClosed = (lane: Lane): void => this.#handBack(lane, now);
    try {
      for (let next = this.#lanes.next(now, onClosed); next !== null; next = this.#lanes.next(now, onClosed)) {
        void this.#run(next);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  async #run(started: Started): Promise<void> {
    const { lane, task } = started;
    try {
      const { directory, recorder } = this.#options;
      const target = directory.peek(task.webhookId, task.revision) ?? (await directory.load(task.webhookId));
      const mayTry = this.#mayTry(started, target);
      const isToTry = typeof mayTry === 'boolean' ? mayTry : await mayTry;
      if (isToTry && target !== null) {
        const { outcome, traceId } = await this.#options.send(target, task, task.attemptCount + task.lease.expirations + 1);
        if (!hasBegun(outcome)) return this.#comeAgain(lane, task, SHORTAGE_SLEEP_MS);
        lane.learn(outcome.error, outcome.durationMs, performance.now());
        // The webhook is about to be disabled: nothing more of it starts before that is written.
        if (outcome.httpStatus === GONE) lane.pauseUntil(performance.now() + GONE_PAUSE_MS);
        const leftAloneForMs = lane.leftAloneForMs(performance.now());
        const isAway = leftAloneForMs !== undefined && leftAloneForMs > 0;
        recorder.record(
          task,
          outcome,
          target,
          traceId,
          isAway ? Math.ceil(this.#options.now() + leftAloneForMs) : leftAloneForMs,
        );
      }
    } catch (error) {
      this.#options.telemetry.log.error(
        { err: error, delivery_id: task.deliveryId },
        'a delivery could not be attempted; it is due again',
      );
      this.#release([task.lease], FAILURE_SLEEP_MS);
    } finally {
      const now = performance.now();
      this.#lanes.finished(started, now);
      this.#claims.countEnded();
      if (lane.isClosed(now) && lane.queued > 0) this.#handBack(lane, now);
      this.#pump();
      this.#claims.freed(this.#lanes.hasRegained(lane, now));
    }
  }

  // Nothing was sent, because this process lacked something. It is no attempt, and the delivery is given back as at a shutdown. Its webhook
  // rests for a moment, since only its receiver may be affected.
  #comeAgain(lane: Lane, task: Task, sleepMs: number): void {
    const delayMs = this.#isAccepting ? sleepMs : 0;
    lane.pauseUntil(performance.now() + delayMs);
    this.#release([task.lease], delayMs);
  }

  // An operator has to add the key and restart. Until then no retry is used up, and its webhook is tried once a minute.
  #waitForKey(lane: Lane, task: Task): false {
    this.#lackedKeyAt = performance.now();
    this.#options.telemetry.events.keyMissing(task.webhookId);
    this.#comeAgain(lane, task, KEY_SLEEP_MS);
    return false;
  }

  /** Whether it may be sent now; otherwise it is done with here. A promise only where a store has to be read. */
  #mayTry(started: Started, target: Target | null): boolean | Promise<boolean> {
    const { lane, task } = started;
    const rule = ruleOfWebhook(target);
    if (target === null || rule === 'active') return this.#cancel(task);
    if (this.#hasExpired(task)) return this.#expire(task);
    if (rule === 'not_paused') return this.#hold(task);
    if (rule === 'secret_key') return this.#waitForKey(lane, task);
    const timeoutMs = Math.min(target.policy.timeoutMs, this.#options.maxTimeoutMs);
    const isTooLate = task.lease.expiresAt - performance.now() < timeoutMs + LEASE_MARGIN_MS;
    if (isTooLate || this.#options.isLost?.(task.lease) === true) {
      this.#release([task.lease], 0);
      return false;
    }
    lane.ratePerSecond = target.rateLimit;
    if (target.rateLimit > 0) return this.#isItsTurn(started, target);
    return !this.#isGivenUp(task, target);
  }

  async #cancel(task: Task): Promise<false> {
    await this.#options.cancel(task.deliveryId);
    this.#release([task.lease], null);
    return false;
  }

  #hasExpired({ deliverBeforeMs }: Task): boolean {
    return hasExpired(deliverBeforeMs, this.#options.now());
  }

  // What had ended before comes back once, and the loader drops it.
  async #expire(task: Task): Promise<false> {
    const hasEnded = await this.#options.expire(task.deliveryId);
    this.#release([task.lease], hasEnded ? null : HOLD_RETRY_MS);
    return false;
  }

  async #hold(task: Task): Promise<false> {
    const isHeld = await this.#options.hold(task.deliveryId);
    // The row is newer than this process's copy: the webhook is read anew.
    if (!isHeld) this.#options.directory.forget(task.webhookId);
    this.#release([task.lease], isHeld ? null : HOLD_RETRY_MS);
    return false;
  }

  // A delivery that waits for its rate stays here with its lease: given back, it would be claimed again for each request of its webhook.
  async #isItsTurn(started: Started, target: Target): Promise<boolean> {
    const waitMs = await this.#options.rateLimitWaitMs(target);
    // The store of the limits may have let it wait.
    if (waitMs === 0)
      return this.#hasExpired(started.task) ? this.#expire(started.task) : !this.#isGivenUp(started.task, target);
    const { lane, task } = started;
    if (!this.#isAccepting || lane.queued >= target.rateLimit) {
      this.#release([task.lease], waitMs);
      // More waits than the rate lets through: the leases of the rest may run out before their turn.
      if (lane.queued > target.rateLimit)
        this.#release(
          this.#lanes.clear(lane).map((waiting) => waiting.lease),
          waitMs,
        );
    } else this.#lanes.putBack(started);
    const now = performance.now();
    const isLimited = now < lane.rateLimitedUntil;
    lane.limitUntil(now + waitMs);
    if (!isLimited) this.#resumeLater(lane);
    return false;
  }

  #resumeLater(lane: Lane): void {
    const waitMs = Math.ceil(lane.rateLimitedUntil - performance.now()) + 1;
    setTimeout(() => {
      const now = performance.now();
      // The limit was checked again meanwhile, or the timer is early.
      if (now < lane.rateLimitedUntil) return this.#resumeLater(lane);
      if (!this.#isAccepting) return;
      this.#lanes.resume(lane, now);
      this.#pump();
      this.#claims.regained(this.#lanes.hasRegained(lane, now));
    }, waitMs).unref();
  }

  /** The delivery may be what kills its processes: it ends without another try. */
  #isGivenUp(task: Task, target: Target): boolean {
    if (task.lease.expirations < MAX_LEASE_EXPIRATIONS) return false;
    this.#options.recorder.record(task, failed('lease_expired', this.#options.now()), target, '');
    return true;
  }

  // What was fetched for a lane that closed goes back, so that its leases do not run out here.
  #handBack(lane: Lane, now: number): void {
    const dueAtMs = this.#options.now() + Math.max(0, Math.ceil(lane.closedUntil - now));
    const leftAloneUntilMs = lane.isSuspect ? dueAtMs : undefined;
    this.#leases.end(
      this.#lanes.clear(lane).map(({ lease: { deliveryId, webhookId, leasedIn, token } }) => ({
        deliveryId,
        webhookId,
        leasedIn,
        token,
        dueAtMs,
        leftAloneUntilMs,
      })),
    );
  }

  /** @param delayMs until they may be claimed again; null: they have ended */
  #release(leases: readonly Leased[], delayMs: number | null): void {
    this.#leases.release(leases, delayMs);
  }

  async #drain(): Promise<void> {
    this.#isAccepting = false;
    await this.#claims.stop();
    this.#release(
      this.#lanes.clearAll().map((task) => task.lease),
      0,
    );
    const graceEndsAt = performance.now() + this.#options.shutdownGraceMs;
    while (this.#lanes.inFlight > 0 && performance.now() < graceEndsAt) await pause(10);
    if (this.#lanes.inFlight > 0) this.#options.abort();
    while (this.#lanes.inFlight > 0) await pause(5);
    await this.#leases.idle();
    await this.#options.recorder.idle();
  }
}
