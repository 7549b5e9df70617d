// What waits in this process to be sent: a lane for each webhook, served in turn, and how much more may be taken in.
import { Lane } from './lane.ts';
import { Queue } from './queue.ts';
import type { Task } from './task.ts';

/** Payload in hand, queued and in flight. A hundred of the largest payloads; beyond it deliveries wait in the stores. */
const MAX_HELD_BYTES = 128 * 1024 * 1024;
/** What of it may come straight from commits; the rest is for claims. */
const MAX_DIRECT_BYTES = MAX_HELD_BYTES / 8;
/** What a payload is taken to be before any was seen. */
const USUAL_BYTES = 2048;
/**
 * How many times what may be in flight waits here for its first attempt straight from the commit: bursts, at any pace, and floods, at the
 * pace that this process sends at. Claimed deliveries are counted apart, so that no flood of new ones keeps retries waiting.
 */
const BURST_FACTOR = 16;
const FLOOD_FACTOR = 64;
/** A flood waits here for as long as these windows take, two to four seconds: well before the end of any lease. */
const FLOOD_WINDOWS = 20;

/** What ended within this time, or twice it, says how fast places become free, in milliseconds. */
const PACE_WINDOW_MS = 100;

interface LanesOptions {
  readonly maxConcurrency: number;
  readonly endpointConcurrency: number;
  readonly leaseMs: number;
}

export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that may start something, each once, in turn. */
  readonly #ready = new Queue<Lane>();
  /** Lanes that had no room for what comes straight from commits when last looked at. */
  readonly #crowded = new Set<Lane>();
  /** Waiting in the lanes, by where they came from. */
  #claimedQueued = 0;
  #directQueued = 0;
  #inFlight = 0;
  #heldBytes = 0;
  /** Of the payloads of the last claim. */
  #averageBytes = USUAL_BYTES;
  /** Requests that ended in the present window, and in the one before. */
  #ended = 0;
  #endedBefore = 0;
  #windowEndsAt = 0;

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  /** Deliveries being sent at this moment. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether so little of what was claimed is left that another claim is worth its cost: asked at half, claims stay batched under load. */
  get isLow(): boolean {
    return this.#claimedQueued <= this.#options.maxConcurrency / 2;
  }

  /** How many a claim may take; 0 when it should not be made. */
  claimable(now: number): number {
    if (!this.isLow) return 0;
    const { maxConcurrency } = this.#options;
    const affordable = Math.floor((MAX_HELD_BYTES - this.#heldBytes) / this.#averageBytes);
    const places = maxConcurrency - this.#claimedQueued - this.#inFlight + Math.min(maxConcurrency, this.#endedLately(now));
    return Math.max(0, Math.min(places, affordable));
  }

  /** Whether deliveries that are about to be committed may come here at once. What commits that are under way bring comes on top. */
  isOpenToCommits(now: number): boolean {
    const { maxConcurrency } = this.#options;
    const pace = this.#endedLately(now);
    if (this.#inFlight >= maxConcurrency && pace === 0) return false;
    const flood = Math.min(maxConcurrency * FLOOD_FACTOR, pace * FLOOD_WINDOWS);
    return this.#directQueued < Math.max(maxConcurrency * BURST_FACTOR, flood) && this.#heldBytes <= MAX_DIRECT_BYTES;
  }

  /** The webhooks that have no room for what comes straight from commits. */
  crowded(now: number): string[] {
    const webhookIds: string[] = [];
    for (const lane of this.#crowded) {
      if (lane.directPlaces(now) === 0) webhookIds.push(lane.webhookId);
      else this.#crowded.delete(lane);
    }
    return webhookIds;
  }

  /** For a claim: the webhooks that have less room than usual. Forgets lanes that have nothing to remember. */
  room(now: number): Map<string, number> {
    const room = new Map<string, number>();
    for (const lane of this.#lanes.values()) {
      const places = lane.room(now);
      if (lane.isIdle(now)) this.#forget(lane);
      // More than the usual need not be said.
      else if (places < this.#options.endpointConcurrency) room.set(lane.webhookId, places);
      lane.wasLimited = room.has(lane.webhookId);
    }
    return room;
  }

  /** Tells what the payloads of a claim weighed, for the next. */
  learnBytes(claimed: number, bytes: number): void {
    if (claimed > 0) this.#averageBytes = Math.max(1, bytes / claimed);
  }

  push(task: Task, now: number): void {
    const lane = this.#laneOf(task.webhookId);
    if (task.isDirect) this.#directQueued += 1;
    else this.#claimedQueued += 1;
    this.#heldBytes += bytesOf(task);
    lane.push(task);
    this.#lineUp(lane);
    if (lane.directPlaces(now) === 0) this.#crowded.add(lane);
  }

  /**
   * Takes out the next to be sent, one of each webhook in turn; null when nothing may start. It counts as in flight until it is
   * `finished`. A lane found closed with something in it is left to `onClosed`.
   */
  next(now: number, onClosed: (lane: Lane) => void): { readonly lane: Lane; readonly task: Task } | null {
    while (this.#inFlight < this.#options.maxConcurrency) {
      const lane = this.#ready.shift();
      if (lane === undefined) return null;
      lane.isReady = false;
      if (!lane.canStart(now)) {
        // It closed while these were fetched, and with nothing of it in flight nobody would come back for them.
        if (lane.isClosed(now) && lane.queued > 0) onClosed(lane);
        continue;
      }
      const task = lane.shift();
      if (task === undefined) continue;
      this.#uncount(task);
      this.#inFlight += 1;
      lane.inFlight += 1;
      if (lane.canStart(now)) this.#lineUp(lane);
      return { lane, task };
    }
    return null;
  }

  finished(lane: Lane, task: Task, now: number): void {
    this.#turnWindow(now);
    this.#ended += 1;
    this.#inFlight -= 1;
    this.#heldBytes -= bytesOf(task);
    lane.inFlight -= 1;
    if (lane.canStart(now)) this.#lineUp(lane);
    if (lane.directPlaces(now) === 0) this.#crowded.add(lane);
  }

  /** Takes out everything of one lane that was not started. */
  clear(lane: Lane): Task[] {
    const tasks = lane.clear();
    for (const task of tasks) {
      this.#uncount(task);
      this.#heldBytes -= bytesOf(task);
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
    this.#endedBefore = now < this.#windowEndsAt + PACE_WINDOW_MS ? this.#ended : 0;
    this.#ended = 0;
    this.#windowEndsAt = now + PACE_WINDOW_MS;
  }

  #lineUp(lane: Lane): void {
    if (lane.isReady) return;
    lane.isReady = true;
    this.#ready.push(lane);
  }

  #laneOf(webhookId: string): Lane {
    let lane = this.#lanes.get(webhookId);
    if (lane === undefined)
      this.#lanes.set(webhookId, (lane = new Lane(webhookId, this.#options.endpointConcurrency, this.#options.leaseMs)));
    return lane;
  }

  #forget(lane: Lane): void {
    this.#lanes.delete(lane.webhookId);
    this.#crowded.delete(lane);
  }

  #uncount({ isDirect }: Task): void {
    if (isDirect) this.#directQueued -= 1;
    else this.#claimedQueued -= 1;
  }
}

// Characters, not bytes: that is what the text costs in memory, give or take.
function bytesOf({ data }: Task): number {
  return data?.length ?? 0;
}
