// What waits in this process to be sent: a lane for each webhook, and how many places and how much memory each user may have.
import { Lane, type Started } from './lane.ts';
import type { Task } from './task.ts';
import { Turns } from './turns.ts';
import { UserLanes, Waiting } from './user-lanes.ts';

/** Payload in hand, queued and in flight. A hundred of the largest payloads; beyond it deliveries wait in the stores. */
const MAX_BUFFERED_BYTES = 128 * 1024 * 1024;
/** What of it may come straight from commits; the rest is for claims. */
const MAX_INSERTED_BYTES = MAX_BUFFERED_BYTES / 8;
/** What a payload is taken to be before any was seen. */
const USUAL_BYTES = 2048;
/**
 * Deliveries leased on insert that wait here, in multiples of what may be in flight: bursts, at any rate, and floods, at the rate that this
 * process sends at. Claimed deliveries are counted apart, so that no flood of new ones keeps retries waiting.
 */
const BURST_FACTOR = 16;
const FLOOD_FACTOR = 64;
/** A flood waits here for as long as these windows take, two to four seconds: well before the end of any lease. */
const FLOOD_WINDOWS = 20;

/** ms. What ended within this time, or twice it, shows how fast places become free. */
const RATE_WINDOW_MS = 100;

/**
 * A user may take so many times what is free, so there is something for the next user, however many take all that they may. With receivers
 * that are slow, or without a response yet, a third: one such user ends with a quarter of all, six of them leave a third to others. The
 * same share bounds what waits here for such receivers, in deliveries and in bytes.
 */
const SLOW_SHARE = 1 / 3;
/** With fast receivers three times: one such user ends with three quarters, and gives them back within a second. */
const FAST_SHARE = 3;
/** The part of all places that is kept for fast receivers. */
const KEPT_FOR_FAST = 1 / 8;
/**
 * Receivers that were away are probed a few at a time: each may take its whole timeout. Probes take no more than this part of all places,
 * and one claim brings so many.
 */
const PROBES_SHARE = 1 / 4;
const MAX_PROBES_PER_CLAIM = 4;
/** With more lanes than this whose last claims were full, the usual share of each fills a claim: none needs to be named for more. */
const MAX_WIDER = 32;
/** With more full webhooks of one user than this, the user is named instead of each of them. */
const MAX_FULL_OF_USER = 8;
/** How many receivers are remembered as fast after their lane is empty, a hundred bytes each; the one longest ago goes first. */
const MAX_REMEMBERED = 10_000;

interface LanesOptions {
  readonly maxConcurrency: number;
  readonly endpointConcurrency: number;
  readonly leaseMs: number;
}

/** The webhooks and users whose deliveries a commit schedules, because their lanes are full. */
export interface FullLanes {
  readonly webhookIds: readonly string[];
  readonly userIds: readonly string[];
}

export class Lanes {
  readonly #options: LanesOptions;
  readonly #maxSlow: number;
  readonly #lanes = new Map<string, Lane>();
  readonly #users = new Map<string, UserLanes>();
  readonly #fast = new Turns();
  readonly #slow = new Turns();
  /** Both take turns, so that neither kind of receiver waits for all of the other. */
  #isFastNext = true;
  /** How fast receivers were whose lane is gone, in milliseconds, by webhook. */
  readonly #remembered = new Map<string, number>();
  /** Lanes that were full when last looked at. */
  readonly #full = new Set<Lane>();
  /** Users whose share was used up. */
  readonly #fullUsers = new Set<UserLanes>();
  readonly #waiting = new Waiting();
  /** Those for receivers that are not fast, as far as known. */
  readonly #slowWaiting = new Waiting();
  #inFlight = 0;
  /** Those in flight whose receivers were not fast, as far as known. */
  #slowInFlight = 0;
  /** Waiting and in flight. */
  #probes = 0;
  #bufferedBytes = 0;
  /** What of it came straight from commits. */
  #insertedBytes = 0;
  /** Of the payloads of the last claim. */
  #averageBytes = USUAL_BYTES;
  /** Requests that ended in the present window, and in the one before. */
  #ended = 0;
  #endedBefore = 0;
  #windowEndsAt = 0;

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#maxSlow = options.maxConcurrency - Math.floor(options.maxConcurrency * KEPT_FOR_FAST);
  }

  /** Deliveries being sent at this moment. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether so little of what was claimed is left that another claim is worth its cost: asked at half, claims stay batched under load. */
  get isLow(): boolean {
    return this.#waiting.claimed <= this.#options.maxConcurrency / 2;
  }

  /** How many a claim may take; 0 when it should not be made. */
  claimable(now: number): number {
    if (!this.isLow) return 0;
    const { maxConcurrency } = this.#options;
    const affordable = Math.floor((MAX_BUFFERED_BYTES - this.#bufferedBytes) / this.#averageBytes);
    const places = maxConcurrency - this.#waiting.claimed - this.#inFlight + Math.min(maxConcurrency, this.#endedLately(now));
    return Math.max(0, Math.min(places, affordable));
  }

  /** Whether deliveries that are about to be committed may come here at once. What commits that are under way bring comes on top. */
  takesInserts(now: number): boolean {
    if (this.#inFlight >= this.#options.maxConcurrency && this.#endedLately(now) === 0) return false;
    return (
      this.#waiting.direct < this.#maxDirect(now) &&
      this.#insertedBytes <= MAX_INSERTED_BYTES &&
      this.#bufferedBytes <= MAX_BUFFERED_BYTES
    );
  }

  /** The webhooks, and the users with all their webhooks, that are full. */
  full(now: number): FullLanes {
    const lanes = new Map<UserLanes, string[]>();
    for (const lane of this.#full) {
      if (this.#freeForInserts(lane, now) > 0) this.#full.delete(lane);
      else if (!this.#fullUsers.has(lane.user)) {
        const ofUser = lanes.get(lane.user);
        if (ofUser === undefined) lanes.set(lane.user, [lane.webhookId]);
        else ofUser.push(lane.webhookId);
      }
    }
    const webhookIds: string[] = [];
    const userIds: string[] = [];
    for (const user of this.#fullUsers) {
      if (this.#hasDirectShare(user, now)) this.#fullUsers.delete(user);
      else userIds.push(user.userId);
    }
    for (const [user, ofUser] of lanes) {
      if (ofUser.length > MAX_FULL_OF_USER) userIds.push(user.userId);
      else webhookIds.push(...ofUser);
    }
    return { webhookIds, userIds };
  }

  /**
   * How many events of one user a commit may lease, given how many it may for receivers without a response yet: half of the free places of
   * the user's fullest fast lane, since two commits overlap.
   */
  maxInsertLeasesOf(userId: string, ofUnknown: number, now: number): number {
    const user = this.#users.get(userId);
    if (user === undefined || user.lanes.size > MAX_FULL_OF_USER) return ofUnknown;
    let least = Number.POSITIVE_INFINITY;
    for (const lane of user.lanes) {
      if (!lane.isFast(now)) return ofUnknown;
      // A full lane is in the list of the commit already.
      least = Math.min(least, this.#freeForInserts(lane, now) || Number.POSITIVE_INFINITY);
    }
    return Number.isFinite(least) ? Math.max(ofUnknown, Math.floor(least / 2)) : ofUnknown;
  }

  /** How many receivers that were away a claim may probe. */
  get maxProbes(): number {
    const max = Math.max(1, Math.floor(this.#options.maxConcurrency * PROBES_SHARE));
    return Math.max(0, Math.min(MAX_PROBES_PER_CLAIM, max - this.#probes));
  }

  /** The webhooks whose receivers are away, and how many deliveries each may take: none, or one. */
  roomOfSuspects(now: number): Map<string, number> {
    const room = new Map<string, number>();
    for (const lane of this.#lanes.values()) if (lane.isSuspect) room.set(lane.webhookId, lane.room(now));
    return room;
  }

  /**
   * The limits of a claim: the webhooks that have fewer free places than usual, without those whose receivers are away, and some that have
   * more and whose last claim was full. Forgets lanes that have nothing to remember.
   */
  room(now: number): Map<string, number> {
    const { endpointConcurrency } = this.#options;
    const room = new Map<string, number>();
    let wider = 0;
    for (const user of this.#users.values()) {
      let left = this.#claimShare(user);
      // The lanes name the webhooks that are not to be claimed, so they stay.
      const mayForget = user.slowInFlight + user.slowWaiting.claimed === 0;
      user.wasLimited = left === 0;
      const served: Lane[] = [];
      for (const lane of user.lanes) {
        if (lane.isSuspect) {
          lane.wasLimited = false;
          if (mayForget && lane.isIdle(now)) this.#forget(lane, now);
          continue;
        }
        let places = lane.room(now);
        if (places > 0 && !this.#classify(lane, now)) {
          user.wasLimited ||= places > left;
          places = Math.min(places, left);
          left -= places;
          if (places > 0) served.push(lane);
        }
        if (mayForget && lane.isIdle(now)) this.#forget(lane, now);
        else if (places < endpointConcurrency) room.set(lane.webhookId, places);
        else if (places > endpointConcurrency && wider < MAX_WIDER && lane.isHungry(now)) {
          room.set(lane.webhookId, places);
          wider += 1;
        }
        lane.wasLimited = room.has(lane.webhookId);
      }
      // Next time the others come first.
      if (!user.wasLimited) continue;
      for (const lane of served) if (user.lanes.delete(lane)) user.lanes.add(lane);
    }
    return room;
  }

  /** Whether there are free places again for something that the last claim may have left, now that a request of this lane has ended. */
  hasRegained(lane: Lane, now: number): boolean {
    const { user } = lane;
    if (!lane.wasLimited && !user.wasLimited) return false;
    const hasShare = this.#claimShare(user) > 0;
    if (user.wasLimited && hasShare) return true;
    return lane.wasLimited && lane.room(now) > 0 && (hasShare || lane.isFast(now));
  }

  /**
   * Lanes whose receivers are not fast any more, and in which so much waits that nothing else can be taken in, or that its leases would
   * end. It is given back: behind a receiver that hangs it would wait for the timeouts, and every other webhook with it.
   */
  overShare(now: number): Lane[] {
    const over: Lane[] = [];
    for (const lane of this.#lanes.values()) if (lane.isOverlong(now)) over.push(lane);
    const isFullOfClaims = !this.isLow;
    const isFullOfCommits = this.#waiting.direct >= this.#maxDirect(now) || this.#insertedBytes > MAX_INSERTED_BYTES;
    if (!isFullOfClaims && !isFullOfCommits) return over;
    for (const lane of this.#lanes.values()) this.#classify(lane, now);
    for (const user of this.#users.values()) {
      const { claimed, direct } = user.slowWaiting;
      const hasTooMuch =
        (isFullOfClaims && claimed > 0 && this.#claimShare(user) === 0) ||
        (isFullOfCommits && direct > 0 && !this.#hasDirectShare(user, now));
      if (hasTooMuch) for (const lane of user.lanes) if (!lane.isCountedFast && lane.queued > 0) over.push(lane);
    }
    return over;
  }

  /** Takes note of the webhooks for which a claim brought all that it was allowed to. */
  learnFilled(leased: readonly { readonly webhookId: string }[], room: ReadonlyMap<string, number>, now: number): void {
    const counts = new Map<string, number>();
    for (const { webhookId } of leased) counts.set(webhookId, (counts.get(webhookId) ?? 0) + 1);
    for (const [webhookId, count] of counts) {
      const usual = Math.min(this.#options.endpointConcurrency, room.get(webhookId) ?? this.#options.endpointConcurrency);
      if (count >= usual) this.#lanes.get(webhookId)?.wasFilled(now);
    }
  }

  /** Takes note of the size of a claim's payloads, for the next. */
  learnBytes(claimed: number, bytes: number): void {
    if (claimed > 0) this.#averageBytes = Math.max(1, bytes / claimed);
  }

  /** Takes a delivery in. False: it was claimed beyond its user's share, and has to go back. What was committed for this process always stays. */
  push(task: Task, userId: string, now: number): boolean {
    const lane = this.#laneOf(task.webhookId, userId);
    const { user } = lane;
    if (task.lease.isProbe === true) lane.suspect();
    const isFast = this.#classify(lane, now);
    if (!task.isInserted && !isFast && this.#claimShare(user) === 0) return false;
    this.#count(lane, task, 1);
    this.#countBytes(lane, task, 1);
    if (task.lease.isProbe === true) this.#probes += 1;
    lane.push(task);
    this.#lineUp(lane, now);
    if (!task.isInserted) return true;
    if (this.#freeForInserts(lane, now) === 0) this.#full.add(lane);
    if (!isFast && !this.#hasDirectShare(user, now)) this.#fullUsers.add(user);
    return true;
  }

  /**
   * Takes out the next to be sent: users in turn, of each user the webhooks in turn; null when nothing may start. It counts as in flight
   * until it is `finished`. A lane found closed with something in it is left to `onClosed`.
   */
  next(now: number, onClosed: (lane: Lane) => void): Started | null {
    while (this.#inFlight < this.#options.maxConcurrency) {
      const lane = this.#nextLane();
      if (lane === undefined) return null;
      const isFast = lane.readyAs === 'fast';
      lane.readyAs = null;
      if (!lane.canStart(now)) {
        // It closed while these were fetched, and with nothing of it in flight no outcome would bring the dispatcher back to them.
        if (lane.isClosed(now) && lane.queued > 0) onClosed(lane);
        continue;
      }
      if (this.#classify(lane, now) !== isFast) {
        this.#lineUp(lane, now);
        continue;
      }
      const task = lane.shift();
      if (task === undefined) continue;
      this.#count(lane, task, -1);
      this.#inFlight += 1;
      lane.user.inFlight += 1;
      if (!isFast) {
        this.#slowInFlight += 1;
        lane.user.slowInFlight += 1;
      }
      const started = lane.start(task, now, isFast);
      if (lane.canStart(now)) this.#lineUp(lane, now);
      return started;
    }
    return null;
  }

  finished(started: Started, now: number): void {
    const { lane, task, isFast } = started;
    this.#turnWindow(now);
    this.#ended += 1;
    this.#inFlight -= 1;
    lane.user.inFlight -= 1;
    if (!isFast) {
      this.#slowInFlight -= 1;
      lane.user.slowInFlight -= 1;
    }
    this.#countBytes(lane, task, -1);
    if (task.lease.isProbe === true) this.#probes -= 1;
    lane.end(started);
    if (lane.canStart(now)) this.#lineUp(lane, now);
    if (this.#freeForInserts(lane, now) === 0) this.#full.add(lane);
  }

  /** Takes back in what was started and may not be sent yet; it counts as in flight until it is `finished`. */
  putBack({ lane, task }: Started): void {
    this.#count(lane, task, 1);
    this.#countBytes(lane, task, 1);
    lane.putBack(task);
  }

  /** A lane whose rate limit lets it go on stands to start something again. */
  resume(lane: Lane, now: number): void {
    if (lane.canStart(now)) this.#lineUp(lane, now);
  }

  /** Takes out everything of one lane that was not started. */
  clear(lane: Lane): Task[] {
    const tasks = lane.clear();
    for (const task of tasks) {
      this.#count(lane, task, -1);
      this.#countBytes(lane, task, -1);
      if (task.lease.isProbe === true) this.#probes -= 1;
    }
    return tasks;
  }

  /** Takes out everything that was not started. */
  clearAll(): Task[] {
    return [...this.#lanes.values()].flatMap((lane) => this.clear(lane));
  }

  // So many are fetched ahead of free places, and none when nothing ends: behind receivers that hang they would wait for the timeout, while
  // another process may have places.
  #endedLately(now: number): number {
    this.#turnWindow(now);
    return this.#endedBefore + this.#ended;
  }

  #turnWindow(now: number): void {
    if (now < this.#windowEndsAt) return;
    this.#endedBefore = now < this.#windowEndsAt + RATE_WINDOW_MS ? this.#ended : 0;
    this.#ended = 0;
    this.#windowEndsAt = now + RATE_WINDOW_MS;
  }

  #maxDirect(now: number): number {
    const { maxConcurrency } = this.#options;
    const flood = Math.min(maxConcurrency * FLOOD_FACTOR, this.#endedLately(now) * FLOOD_WINDOWS);
    return Math.max(maxConcurrency * BURST_FACTOR, flood);
  }

  /** How many more deliveries may be claimed for receivers of this user that are not fast. */
  #claimShare(user: UserLanes): number {
    if (user.bytes >= (MAX_BUFFERED_BYTES - this.#bufferedBytes) * SLOW_SHARE) return 0;
    const free = this.#options.maxConcurrency - this.#slowInFlight - this.#slowWaiting.claimed;
    return shareOf(free, SLOW_SHARE, user.slowInFlight + user.slowWaiting.claimed);
  }

  /** Whether more may be leased on insert for receivers of this user that are not fast. */
  #hasDirectShare(user: UserLanes, now: number): boolean {
    if (user.bytes >= (MAX_INSERTED_BYTES - this.#insertedBytes) * SLOW_SHARE) return false;
    return shareOf(this.#maxDirect(now) - this.#slowWaiting.direct, SLOW_SHARE, user.slowWaiting.direct) > 0;
  }

  /** How much more may come straight from commits for one webhook: three times what stays free for the others at most. */
  #freeForInserts(lane: Lane, now: number): number {
    const free = this.#maxDirect(now) - this.#waiting.direct;
    return Math.max(0, Math.min(lane.freeForInserts(now), Math.floor(free * FAST_SHARE) - lane.waiting.direct));
  }

  #nextLane(): Lane | undefined {
    const free = this.#options.maxConcurrency - this.#inFlight;
    const slowLimit = this.#slowInFlight < this.#maxSlow ? free * SLOW_SHARE : 0;
    this.#isFastNext = !this.#isFastNext;
    if (this.#isFastNext) return this.#fast.next(free * FAST_SHARE) ?? this.#slow.next(slowLimit);
    return this.#slow.next(slowLimit) ?? this.#fast.next(free * FAST_SHARE);
  }

  #lineUp(lane: Lane, now: number): void {
    if (lane.readyAs !== null) return;
    const isFast = this.#classify(lane, now);
    lane.readyAs = isFast ? 'fast' : 'slow';
    if (isFast) this.#fast.add(lane.user.fast, lane);
    else this.#slow.add(lane.user.slow, lane);
  }

  /** Whether its receiver is fast; what waits for it is counted accordingly from now on. */
  #classify(lane: Lane, now: number): boolean {
    const isFast = lane.isFast(now);
    if (isFast === lane.isCountedFast) return isFast;
    lane.isCountedFast = isFast;
    for (const from of ['claimed', 'direct'] as const) {
      const by = isFast ? -lane.waiting[from] : lane.waiting[from];
      this.#slowWaiting[from] += by;
      lane.user.slowWaiting[from] += by;
    }
    return isFast;
  }

  #laneOf(webhookId: string, userId: string): Lane {
    const known = this.#lanes.get(webhookId);
    if (known !== undefined) return known;
    let user = this.#users.get(userId);
    if (user === undefined) this.#users.set(userId, (user = new UserLanes(userId)));
    const lane = new Lane(webhookId, user, this.#options.endpointConcurrency, this.#options.leaseMs);
    const latencyMs = this.#remembered.get(webhookId);
    if (latencyMs !== undefined) lane.recall(latencyMs);
    this.#remembered.delete(webhookId);
    this.#lanes.set(webhookId, lane);
    user.lanes.add(lane);
    return lane;
  }

  #forget(lane: Lane, now: number): void {
    const { webhookId, user, latencyMs } = lane;
    this.#lanes.delete(webhookId);
    this.#full.delete(lane);
    user.lanes.delete(lane);
    if (user.lanes.size === 0) {
      this.#users.delete(user.userId);
      this.#fullUsers.delete(user);
    }
    if (latencyMs === null || !lane.isFast(now)) return;
    this.#remembered.set(webhookId, latencyMs);
    if (this.#remembered.size > MAX_REMEMBERED) this.#remembered.delete(this.#remembered.keys().next().value ?? '');
  }

  /** Counts a delivery that begins to wait (1) or waits no more (-1). */
  #count({ waiting, user, isCountedFast }: Lane, { isInserted }: Task, by: 1 | -1): void {
    const from = isInserted ? 'direct' : 'claimed';
    waiting[from] += by;
    this.#waiting[from] += by;
    if (isCountedFast) return;
    this.#slowWaiting[from] += by;
    user.slowWaiting[from] += by;
  }

  #countBytes({ user }: Lane, task: Task, by: 1 | -1): void {
    const bytes = by * bytesOf(task);
    this.#bufferedBytes += bytes;
    user.bytes += bytes;
    if (task.isInserted) this.#insertedBytes += bytes;
  }
}

/** How much more a user may take who has taken so much, when what is free shrinks with it. */
function shareOf(free: number, share: number, taken: number): number {
  return Math.max(0, Math.ceil((free * share - taken) / (1 + share)));
}

// Characters, not bytes: that is what the text costs in memory, give or take.
function bytesOf({ data }: Task): number {
  return data?.length ?? 0;
}
