// A watcher: one subscriber's view of the feed, its past read from PostgreSQL, its present from a bounded queue.
import type { ServiceError } from '../domain/errors.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { MAX_PROGRESS, type ReleaseProgress } from '../persistence/queries/release-progress.ts';
import { positionCursor, updateCursor, microsOf } from './cursor.ts';
import { concerns } from './release-news.ts';
import type { StatusUpdate } from './status-update.ts';
import { matches, type WatchFilter } from './watch-filter.ts';

/** Updates that wait for a watcher, at most some 800 kB of them: half a second of the busiest stream. */
export const MAX_QUEUED_UPDATES = 500;
/** A past that ends this shortly before now is read to its end while the present is already being queued. */
const NEAR_MICROS = 3_000_000;

/** An update as watchers get it, made once for all of them. */
export interface FeedUpdate {
  readonly kind: 'update';
  readonly cursor: string;
  readonly micros: number;
  readonly update: StatusUpdate;
}

export type FeedMessage =
  | FeedUpdate
  /** Every change before the cursor was sent. */
  | { readonly kind: 'heartbeat'; readonly cursor: string }
  /** Updates were dropped. Their deliveries follow as they stand by then, and can also be read again from the cursor. */
  | { readonly kind: 'gap'; readonly cursor: string; readonly dropped: number }
  /** How far a release is. The cursor is that of the message before: a release has no place in the stream of changes. */
  | { readonly kind: 'release'; readonly cursor: string; readonly progress: ReleaseProgress };

/** What a watcher needs of the feed. */
export interface WatcherFeed {
  /** Every change before it was put into the queues. In microseconds since 1970. */
  readonly horizonMicros: number;
  readPast(range: PastRange): AsyncIterable<readonly DeliveryRow[]>;
  onDropped(): void;
  onClosed(watcher: Watcher): void;
}

export interface PastRange {
  readonly fromMicros: number;
  /** Exclusive; null: to the end. */
  readonly untilMicros: number | null;
  readonly userId: string | null;
  /** Who watches. */
  readonly caller: string;
}

export class Watcher {
  readonly filter: WatchFilter;
  /** Whose connection it is, for the limit of connections. */
  readonly caller: string;
  readonly #feed: WatcherFeed;
  readonly #messages: AsyncGenerator<FeedMessage, void>;
  #queue: FeedUpdate[] = [];
  #isLive: boolean;
  #fromMicros: number | null;
  /** Changes sent while the end of the past was read, by delivery: they are in the queue as well. */
  #replayed = new Map<string, number>();
  /** Of each release the latest that was not sent yet. */
  readonly #progress = new Map<string, ReleaseProgress>();
  #lastCursor = '';
  #dropped = 0;
  #droppedInAll = 0;
  #heartbeatDue = true;
  #closed = false;
  #reason: ServiceError | null = null;
  #wake: (() => void) | null = null;

  constructor(feed: WatcherFeed, options: { filter: WatchFilter; caller: string; fromMicros: number | null }) {
    this.filter = options.filter;
    this.caller = options.caller;
    this.#feed = feed;
    this.#fromMicros = options.fromMicros;
    this.#isLive = options.fromMicros === null;
    this.#messages = this.#read();
  }

  get buffered(): number {
    return this.#queue.length;
  }

  get dropped(): number {
    return this.#droppedInAll;
  }

  /** The next message; null after close(). Rejects when the past cannot be read, or with what end() was given. */
  async next(): Promise<FeedMessage | null> {
    const { value, done } = await this.#messages.next();
    if (done === true) return null;
    this.#lastCursor = value.cursor;
    return value;
  }

  /** Puts an update into the queue if it is of interest; never waits. */
  offer(update: FeedUpdate): void {
    if (!this.#isLive || this.#closed || !matches(this.filter, update.update)) return;
    if (this.#dropped > 0 || this.#queue.length >= MAX_QUEUED_UPDATES) {
      // Everything before the horizon is in the queue or sent: what is dropped from here on can be read again from there.
      if (this.#dropped === 0) this.#fromMicros = this.#feed.horizonMicros;
      this.#dropped += 1;
      this.#droppedInAll += 1;
      this.#feed.onDropped();
      return;
    }
    this.#queue.push(update);
    this.#wakeUp();
  }

  /** Keeps how far a release is, if it is of interest, in place of what was not sent yet; never waits. */
  offerProgress(progress: ReleaseProgress): void {
    if (this.#closed || !concerns(this.filter, progress)) return;
    if (this.#progress.size >= MAX_PROGRESS && !this.#progress.has(progress.id)) return;
    this.#progress.set(progress.id, progress);
    this.#wakeUp();
  }

  beat(): void {
    this.#heartbeatDue = true;
    this.#wakeUp();
  }

  /** Ends it: next() returns null, and what is queued is dropped. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#progress.clear();
    this.#feed.onClosed(this);
    this.#wakeUp();
  }

  /** Ends it with an error. */
  end(reason: ServiceError): void {
    this.#reason ??= reason;
    this.close();
  }

  async *#read(): AsyncGenerator<FeedMessage, void> {
    try {
      while (!this.#closed) {
        // Before the queue, which may never be empty. Not before there is a cursor to give it.
        const progress = this.#takeProgress();
        const next = progress === undefined ? this.#queue.shift() : undefined;
        if (progress !== undefined) yield { kind: 'release', cursor: this.#lastCursor, progress };
        else if (next !== undefined) {
          if (!this.#wasReplayed(next)) yield next;
        } else if (this.#fromMicros !== null) {
          if (this.#dropped > 0) yield this.#gap(this.#fromMicros);
          else yield* this.#readPast(this.#fromMicros);
        } else if (this.#heartbeatDue) {
          this.#heartbeatDue = false;
          yield { kind: 'heartbeat', cursor: positionCursor(this.#feed.horizonMicros) };
        } else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (this.#reason !== null) throw this.#reason;
    } finally {
      this.close();
    }
  }

  #takeProgress(): ReleaseProgress | undefined {
    if (this.#progress.size === 0 || this.#lastCursor === '') return undefined;
    const [oldest] = this.#progress.values();
    if (oldest !== undefined) this.#progress.delete(oldest.id);
    return oldest;
  }

  #gap(fromMicros: number): FeedMessage {
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.#isLive = false;
    return { kind: 'gap', cursor: positionCursor(fromMicros), dropped };
  }

  /**
   * Reads what lies before the horizon, where no change can appear any more, up to a horizon that is close to now. Then the queue is
   * opened, and the rest is read to its end: what is committed later is sent live, what was committed before is found.
   */
  async *#readPast(fromMicros: number): AsyncGenerator<FeedMessage, void> {
    const { userId } = this.filter;
    const { caller } = this;
    let from = fromMicros;
    while (this.#feed.horizonMicros - from > NEAR_MICROS) {
      const until = this.#feed.horizonMicros;
      yield* this.#sendPast({ fromMicros: from, untilMicros: until, userId, caller }, () => {});
      from = until;
    }
    this.#fromMicros = null;
    this.#isLive = true;
    this.#replayed = new Map();
    yield* this.#sendPast({ fromMicros: from, untilMicros: null, userId, caller }, ({ update, micros }) =>
      this.#replayed.set(update.deliveryId, micros),
    );
    this.#heartbeatDue = true;
  }

  async *#sendPast(range: PastRange, onSent: (update: FeedUpdate) => void): AsyncGenerator<FeedMessage, void> {
    for await (const rows of this.#feed.readPast(range)) {
      for (const row of rows) {
        if (this.#closed) return;
        const update = toFeedUpdate(toUpdate(row));
        onSent(update);
        if (matches(this.filter, update.update)) yield update;
      }
    }
  }

  #wasReplayed({ update, micros }: FeedUpdate): boolean {
    if (this.#replayed.size === 0) return false;
    const replayedMicros = this.#replayed.get(update.deliveryId);
    // The end of the queue, and not of the past: what they had in common is behind us.
    if (replayedMicros === undefined && this.#queue.length === 0) this.#replayed = new Map();
    return replayedMicros !== undefined && micros <= replayedMicros;
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}

export function toFeedUpdate(update: StatusUpdate): FeedUpdate {
  return { kind: 'update', cursor: updateCursor(update), micros: microsOf(update), update };
}

export function toUpdate({ id, ...row }: DeliveryRow): StatusUpdate {
  return { deliveryId: id, ...row };
}
