// A lane: the deliveries of one webhook in this process, how many may be in flight, whether its receiver is fast, and whether it is closed.
import type { AttemptError } from '../domain/delivery.ts';
import { FAILURES_TO_OPEN, isAbsence } from '../domain/delivery-rules.ts';
import { Queue } from './queue.ts';
import type { Task } from './task.ts';
import { Waiting, type UserLanes } from './user-lanes.ts';

/** First pause of a closed lane, doubling up to the longest, in milliseconds. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 10_000;
/** ms. Deliveries are claimed ahead for so long, at the rate of the responses: the lane moves faster than claims are made. */
const AHEAD_MS = 5000;
/** But no longer than this part of a lease: what waits beyond could not be tried before its lease ends. */
const AHEAD_SHARE = 1 / 3;
/** ms. Assumed for the first response when many deliveries are leased on insert at once. Claims wait for that response. */
const FIRST_GUESS_MS = 300;
/** Claimed deliveries in a lane, in multiples of its concurrency, however fast it is: two whole claims. */
const MAX_AHEAD_FACTOR = 64;
/**
 * All deliveries in a lane, in multiples of its concurrency: five seconds of a receiver that responds at once, as fast as a process sends.
 */
const MAX_WAITING_FACTOR = 1024;
/** ms. Failures are forgotten so long after the last attempt; else lanes of dead webhooks pile up. */
const MEMORY_MS = 300_000;
/** Weight of the newest response in the moving average. */
const LATENCY_WEIGHT = 0.2;
/** ms. A receiver that responds within this time is fast: its places are soon free again. */
export const FAST_MS = 1000;
/** ms. A slower receiver has fewer places, in proportion. At 2 s all sixteen of them make eight requests a second. */
const FULL_ROOM_MS = 2000;
/** But never fewer than this: one that hangs, and one that may not. */
const MIN_ROOM = 2;

/**
 * How much the window of claims grows with each response: it triples in the time of one request, so a receiver that responds in 5 ms gets
 * claims of five hundred within 20 ms. With growth by one, a backlog of 5,000 spends a fifth of its time in small claims.
 */
const WINDOW_GROWTH = 2;
/** ms. A lane whose claim was full takes more than usual for so long: what waits behind comes with the next claims. */
const HUNGRY_MS = 2000;

/** A request in flight. */
export interface Started {
  readonly lane: Lane;
  readonly task: Task;
  /** On `performance.now()`. */
  readonly atMs: number;
  /** Whether its receiver counted as fast when it started. */
  readonly isFast: boolean;
  /** The lane's own: those of its requests that started before and after this one, and are in flight. */
  earlier: Started | null;
  later: Started | null;
}

export class Lane {
  readonly webhookId: string;
  readonly user: UserLanes;
  readonly #maxInFlight: number;
  readonly #aheadMs: number;
  readonly #queue = new Queue<Task>();
  /** Of those in flight, the one that started first and the one that started last: a chain, because each request is added and taken out. */
  #oldest: Started | null = null;
  #newest: Started | null = null;
  #cap: number;
  /** How many claimed deliveries it takes: as many as may be in flight at first, more with each response, as in TCP's slow start. */
  #window: number;
  #hungryUntil = 0;
  #latencyMs = 0;
  #failuresInRow = 0;
  /** When the last attempt ended; null: there was none. */
  #learnedAt: number | null = null;
  #closedUntil = 0;
  #pausedUntil = 0;
  #rateLimitedUntil = 0;
  /** Requests a second that its webhook allows; 0: no limit, or not loaded yet. */
  ratePerSecond = 0;
  /** How much of its queue came from where. */
  readonly waiting = new Waiting();
  /** Whether what waits here is counted as waiting for a fast receiver. */
  isCountedFast = false;
  /** Among which it stands to start something; null: not at all. */
  readyAs: 'fast' | 'slow' | null = null;
  /** Whether the last claim had a lower limit for it than usual, or 0. */
  wasLimited = false;
  /** Requests being sent at this moment. */
  inFlight = 0;

  constructor(webhookId: string, user: UserLanes, maxInFlight: number, leaseMs: number) {
    this.#aheadMs = Math.min(AHEAD_MS, leaseMs * AHEAD_SHARE);
    this.webhookId = webhookId;
    this.user = user;
    this.#maxInFlight = maxInFlight;
    this.#cap = maxInFlight;
    this.#window = maxInFlight;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /** ms. The average time of its responses; null: none yet. */
  get latencyMs(): number | null {
    return this.#learnedAt === null ? null : this.#latencyMs;
  }

  /** Takes over what was found of the receiver before its lane was forgotten. */
  recall(latencyMs: number): void {
    this.#learnedAt = 0;
    this.#latencyMs = latencyMs;
  }

  /** Whether its receiver has been responding fast, and no request waits for longer. A receiver without a request yet is not. */
  isFast(now: number): boolean {
    if (this.#learnedAt === null || this.#latencyMs > FAST_MS) return false;
    return this.#oldest === null || now - this.#oldest.atMs <= FAST_MS;
  }

  /** Nothing in hand, and nothing bad to remember that is not long past. */
  isIdle(now: number): boolean {
    if (this.queued + this.inFlight > 0 || this.isHungry(now)) return false;
    // Its rate is remembered as well: else a claim takes more for it than it may send.
    const isWell = this.#failuresInRow === 0 && this.#allowed() >= this.#maxInFlight && this.ratePerSecond === 0;
    return isWell ? !this.isClosed(now) : now > Math.max(this.#learnedAt ?? 0, this.closedUntil) + MEMORY_MS;
  }

  /** Whether its receiver is away: the lane closed, and there was no response since. */
  get isSuspect(): boolean {
    return this.#failuresInRow >= FAILURES_TO_OPEN;
  }

  /** Other processes, or this one before it was started, found its receiver away: one request goes ahead alone. */
  suspect(): void {
    this.#failuresInRow = Math.max(this.#failuresInRow, FAILURES_TO_OPEN);
  }

  /** ms. For how long the schedule leaves it alone. 0: its receiver responds. Undefined: some failures, too few to decide. */
  leftAloneForMs(now: number): number | undefined {
    if (this.isSuspect) return Math.max(1, this.#closedUntil - now);
    return this.#failuresInRow === 0 ? 0 : undefined;
  }

  isClosed(now: number): boolean {
    return now < this.closedUntil;
  }

  get closedUntil(): number {
    return Math.max(this.#closedUntil, this.#pausedUntil);
  }

  /** Closes it until then (on `performance.now()`): what waits goes back. */
  pauseUntil(until: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, until);
  }

  /** When its webhook's own rate limit lets the next request go, on `performance.now()`. What waits stays. */
  get rateLimitedUntil(): number {
    return this.#rateLimitedUntil;
  }

  limitUntil(until: number): void {
    this.#rateLimitedUntil = Math.max(this.#rateLimitedUntil, until);
  }

  /** Whether its last claim probably left more: then it may take more than usual. */
  isHungry(now: number): boolean {
    return now < this.#hungryUntil;
  }

  /** A claim brought all that this lane had free places for. */
  wasFilled(now: number): void {
    this.#hungryUntil = now + HUNGRY_MS;
  }

  /** How many more deliveries a claim may bring; small rests count as none, so that claims stay batched. */
  room(now: number): number {
    const capacity = this.#capacity(Number.POSITIVE_INFINITY);
    const places = this.#placesOf(capacity, now);
    const inHand = this.waiting.claimed + this.inFlight;
    const window = Math.min(this.#window, capacity, this.#maxInFlight * MAX_AHEAD_FACTOR);
    if (this.queued + this.inFlight === 0) return Math.min(places, window);
    return places < this.#allowed() / 2 || window - inHand < window / 2 ? 0 : Math.min(places, window - inHand);
  }

  /**
   * How many more it may take straight from commits: these fill half of it, give or take what is being committed, so that a flood of new
   * deliveries leaves room for what waits in the schedule.
   */
  freeForInserts(now: number): number {
    return this.#placesOf(Math.max(1, Math.floor(this.#capacity(FIRST_GUESS_MS) / 2)), now);
  }

  /** Whether so much waits, since its receiver became slow, that leases would end before its turn: it is to go back. */
  isOverlong(now: number): boolean {
    return this.ratePerSecond === 0 && !this.isFast(now) && this.queued > 2 * this.#capacity(FIRST_GUESS_MS);
  }

  canStart(now: number): boolean {
    return this.queued > 0 && this.inFlight < this.#allowed() && now >= this.#rateLimitedUntil && !this.isClosed(now);
  }

  push(task: Task): void {
    this.#queue.push(task);
  }

  /** Puts back one that was taken out and may not be sent yet. */
  putBack(task: Task): void {
    this.#queue.unshift(task);
  }

  /** The next delivery to attempt; undefined when there is none. */
  shift(): Task | undefined {
    return this.#queue.shift();
  }

  /** To be called when a delivery is sent, with the moment on `performance.now()`; what it returns ends with `end`. */
  start(task: Task, atMs: number, isFast: boolean): Started {
    const started: Started = { lane: this, task, atMs, isFast, earlier: this.#newest, later: null };
    this.inFlight += 1;
    if (this.#newest === null) this.#oldest = started;
    else this.#newest.later = started;
    this.#newest = started;
    return started;
  }

  end({ earlier, later }: Started): void {
    this.inFlight -= 1;
    if (earlier === null) this.#oldest = later;
    else earlier.later = later;
    if (later === null) this.#newest = earlier;
    else later.earlier = earlier;
  }

  /** Takes out everything that was not started. */
  clear(): Task[] {
    return this.#queue.clear();
  }

  /** Learns from an attempt: fewer at once after a timeout, slowly more again after success; fewer while it is slow; closed after failures in a row. */
  learn(error: AttemptError | null, durationMs: number, now: number): void {
    this.#learnedAt = now;
    this.#latencyMs = this.#latencyMs === 0 ? durationMs : this.#latencyMs + LATENCY_WEIGHT * (durationMs - this.#latencyMs);
    if (error === null || !isAbsence(error)) {
      this.#failuresInRow = 0;
      this.#closedUntil = 0;
      this.#cap = Math.min(this.#maxInFlight, this.#cap + 1 / this.#cap);
      this.#window = Math.min(this.#maxInFlight * MAX_AHEAD_FACTOR, this.#window + WINDOW_GROWTH);
      return;
    }
    this.#failuresInRow += 1;
    this.#window = this.#maxInFlight;
    if (error === 'timeout') this.#cap = Math.max(1, this.#cap / 2);
    if (this.#failuresInRow < FAILURES_TO_OPEN || this.isClosed(now)) return;
    const times = Math.min(this.#failuresInRow - FAILURES_TO_OPEN, 10);
    this.#closedUntil = now + Math.min(FIRST_PAUSE_MS * 2 ** times, LONGEST_PAUSE_MS);
  }

  #placesOf(capacity: number, now: number): number {
    return this.isClosed(now) ? 0 : Math.max(0, capacity - this.queued - this.inFlight);
  }

  #capacity(firstGuessMs: number): number {
    const cap = this.#allowed();
    if (cap < this.#maxInFlight) return cap;
    const latencyMs = this.#latencyMs === 0 ? firstGuessMs : this.#latencyMs;
    const ahead = Math.floor(cap * Math.min(MAX_WAITING_FACTOR, Math.max(1, this.#aheadMs / latencyMs)));
    // What it may send in a second: more would wait here while its lease runs.
    return this.ratePerSecond > 0 ? Math.min(ahead, this.ratePerSecond) : ahead;
  }

  // After a pause one request goes ahead alone; its outcome opens the lane or closes it for longer.
  #allowed(): number {
    if (this.isSuspect) return 1;
    const room = this.#latencyMs <= FULL_ROOM_MS ? this.#maxInFlight : (this.#maxInFlight * FULL_ROOM_MS) / this.#latencyMs;
    return Math.max(1, Math.floor(Math.min(this.#cap, Math.max(MIN_ROOM, room))));
  }
}
