// The event feed: feeds the watchers of events of this process from PostgreSQL. It works only while there is one, and publishes know nothing of it.
import type { Pool } from 'pg';
import { invalid, ServiceError } from '../domain/errors.ts';
import { newId } from '../domain/ids.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import { readHorizon } from '../persistence/queries/list-changes.ts';
import { type EventsPage, type EventsRange, listNewEvents, readEventsPage } from '../persistence/queries/watch-events.ts';
import type { Reports } from '../persistence/reports.ts';
import { storeUnavailable } from '../persistence/store-errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { EventPosition } from './event-cursor.ts';
import { EventWatcher, type EventWatcherFeed } from './event-watcher.ts';
import type { WatcherPlaces } from './watcher-places.ts';

/** How often PostgreSQL is asked for new events: soon enough for a person who waits for one. */
const LOOK_INTERVAL_MS = 250;
/** A look reads the ids of the last fifteen seconds. The pause after it is this many times as long, so looks take a twentieth of a connection. */
const PAUSE_RATIO = 19;
/** Where a look takes longer than half a second, it takes a larger share: watchers wait no longer than this for the next. */
const MAX_PAUSE_MS = 10_000;
/** Of more new events every watcher reads, whatever its user. */
const MAX_NEW_EVENTS = 2000;
/** Often enough that no proxy takes a quiet stream for a dead one. */
const HEARTBEAT_INTERVAL_MS = 15_000;
/** Watchers of events of one process. Developers at work, not traffic: each that has something new makes a read of its own. */
const MAX_EVENT_WATCHERS = 200;
/** Of one user: some terminals, and a script. Else two users could take all places. */
const MAX_EVENT_WATCHERS_PER_USER = 10;
/** How far back a watcher may resume: as one of deliveries. */
const MAX_PAST_MS = 86_400_000;
/** A page looks at so many ids: some 20 ms. It returns so many events, or so many bytes of them: four of the largest. */
const PAGE = { lookedAt: 20_000, events: 200, bytes: 4 * 1024 * 1024 };

export interface EventFeedOptions {
  readonly pool: Pool;
  /** For what watchers read: six of these run at a time, two of one user. */
  readonly reports: Reports;
  readonly telemetry: Telemetry;
  readonly places: WatcherPlaces;
  /** For tests. */
  readonly heartbeatIntervalMs?: number;
}

export class EventFeed implements LongRunning, EventWatcherFeed {
  readonly name = 'event feed';
  readonly #options: EventFeedOptions;
  readonly #watchers = new Set<EventWatcher>();
  #looking: AbortController | null = null;
  #horizonMicros = 0;
  /** What the last look returned: the next one returns it again where it was committed after the horizon. */
  #seen: ReadonlySet<string> = new Set();
  #isDrained = false;

  constructor(options: EventFeedOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {}

  /** Ends every watcher with `unavailable`. */
  async drain(): Promise<void> {
    this.#isDrained = true;
    for (const watcher of this.#watchers) watcher.end(shuttingDown());
  }

  get horizonMicros(): number {
    return this.#horizonMicros;
  }

  /**
   * Starts watching the events of one user: from a position, or as a new temporary webhook from now on (null). The caller reads with next() and must
   * close().
   *
   * Errors: `resource_exhausted` (watcher_limit_reached, overloaded), `unavailable` (store_unavailable, shutting_down), `invalid_argument`
   * (cursor_invalid).
   */
  async watch(options: {
    readonly userId: string;
    readonly caller: string;
    readonly subscriptions: readonly string[];
    readonly filter: string | null;
    readonly from: EventPosition | null;
  }): Promise<EventWatcher> {
    if (options.from !== null && options.from.micros < (Date.now() - MAX_PAST_MS) * 1000)
      throw invalid('cursor_invalid', 'after', 'is more than a day old; leave it out to begin now');
    const horizonMicros = await this.#readHorizon();
    if (this.#isDrained) throw shuttingDown();
    this.#checkLimits(options.caller);
    const from = {
      micros: Math.min(wholeMs(options.from?.micros ?? horizonMicros), horizonMicros),
      webhookId: options.from?.webhookId ?? newId('webhook', Date.now()),
    };
    this.#options.places.take(options.caller);
    const watcher = new EventWatcher(this, { ...options, from });
    this.#watchers.add(watcher);
    if (this.#looking === null) this.#look(horizonMicros);
    return watcher;
  }

  async *readPages(range: EventsRange, caller: string): AsyncIterable<EventsPage> {
    let after: string | null = null;
    do {
      const page: EventsPage = await this.#readPage(range, caller, after);
      yield page;
      after = page.lookedTo;
    } while (after !== null);
  }

  onClosed(watcher: EventWatcher): void {
    if (!this.#watchers.delete(watcher)) return;
    this.#options.places.release(watcher.caller);
    if (this.#watchers.size > 0) return;
    this.#looking?.abort();
    this.#looking = null;
  }

  #checkLimits(caller: string): void {
    const open = [...this.#watchers].filter((watcher) => watcher.caller === caller).length;
    if (open >= MAX_EVENT_WATCHERS_PER_USER)
      throw new ServiceError(
        'watcher_limit_reached',
        `You may have ${MAX_EVENT_WATCHERS_PER_USER} streams of events open; close one first.`,
      );
    if (this.#watchers.size >= MAX_EVENT_WATCHERS)
      throw new ServiceError('overloaded', 'This process has as many watchers of events as it takes; try another.');
  }

  // Patient: there are no more of them than watchers, and each asks for its next page when it has sent the last.
  async #readPage(range: EventsRange, caller: string, after: string | null): Promise<EventsPage> {
    try {
      return await this.#options.reports.run(caller, (pool) => readEventsPage(pool, range, after, PAGE), { isPatient: true });
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  async #readHorizon(): Promise<number> {
    try {
      return wholeMs((await readHorizon(this.#options.pool)).horizonMicros);
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  #look(horizonMicros: number): void {
    const looking = new AbortController();
    this.#looking = looking;
    this.#horizonMicros = horizonMicros;
    this.#seen = new Set();
    const timer = setInterval(() => this.#beat(), this.#options.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS);
    looking.signal.addEventListener('abort', () => clearInterval(timer));
    void this.#keepLooking(looking.signal);
  }

  async #keepLooking(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedAt = performance.now();
      await this.#lookOnce(signal).catch((error: unknown) => this.#options.telemetry.events.storeFailed('database', error));
      const tookMs = performance.now() - startedAt;
      await pause(Math.min(MAX_PAUSE_MS, Math.max(LOOK_INTERVAL_MS, tookMs * PAUSE_RATIO)), signal);
    }
  }

  /** Has the watchers read for whom something was committed since the horizon. Then the horizon moves on. */
  async #lookOnce(signal: AbortSignal): Promise<void> {
    const { pool } = this.#options;
    const horizonMicros = await this.#readHorizon();
    // After the horizon: a watcher that comes later reads all that was committed before it.
    const userIds = [...new Set([...this.#watchers].map(({ userId }) => userId))];
    const found = await listNewEvents(pool, { micros: this.#horizonMicros, userIds, max: MAX_NEW_EVENTS });
    if (signal.aborted) return;
    const news = found.filter(({ id }) => !this.#seen.has(id));
    const isForAll = found.length === MAX_NEW_EVENTS || news.some((event) => event.userIds === null);
    const concerned = new Set(news.flatMap((event) => event.userIds ?? []));
    this.#seen = new Set(found.map(({ id }) => id));
    this.#horizonMicros = Math.max(this.#horizonMicros, horizonMicros);
    for (const watcher of this.#watchers) {
      if (isForAll || concerned.has(watcher.userId)) watcher.onNews();
      watcher.onLook(this.#horizonMicros);
    }
  }

  #beat(): void {
    for (const watcher of this.#watchers) watcher.beat();
  }
}

/** Events are asked for by whole milliseconds: what a watcher remembers to have sent begins where its next read does. */
function wholeMs(micros: number): number {
  return Math.floor(micros / 1000) * 1000;
}

function shuttingDown(): ServiceError {
  return new ServiceError('shutting_down', 'This process is stopping; try another.', { retryAfterMs: 1000 });
}
