// The status feed: sends every committed change to the watchers of this process, from the bus at once and from PostgreSQL for certain.
import type { Pool } from 'pg';
import { ServiceError } from '../domain/errors.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { repeat } from '../lifecycle/periodic-task.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import {
  type Change,
  type ChangesPage,
  listChanges,
  loadChanged,
  readChangesPage,
  readHorizon,
} from '../persistence/queries/list-changes.ts';
import type { Reports } from '../persistence/reports.ts';
import { storeUnavailable } from '../persistence/store-errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { ReleaseNews } from './release-news.ts';
import type { StatusBus } from './status-bus.ts';
import type { StatusUpdate } from './status-update.ts';
import type { WatchFilter } from './watch-filter.ts';
import type { WatcherPlaces } from './watcher-places.ts';
import { toFeedUpdate, toUpdate, Watcher, type PastRange, type FeedUpdate, type WatcherFeed } from './watcher.ts';

/** ms. How often PostgreSQL is asked for what the bus has not sent, while a watcher is connected. */
const FILL_INTERVAL_MS = 1000;
/** ms. How often it is asked how far releases are, while a watcher is connected: what a person can follow. */
const PROGRESS_INTERVAL_MS = 1000;
/** Often enough that no proxy takes a quiet stream for a dead one. */
const HEARTBEAT_INTERVAL_MS = 15_000;
/** Changes taken from one look into PostgreSQL; what is left follows with the next. */
const MAX_CHANGES = 20_000;
const MAX_LOADED = 500;
/** So many watched users are looked for by name; of more, everyone's changes are listed. */
const MAX_SELECTED_USERS = 20;
/** Changes that one page of a watcher's past looks at. At 10,000 a second a page costs 50 ms, most of it for the ten seconds before it. */
const PAGE_CHANGES = 4000;
/** How far back a watcher may resume. Who was away for longer reads the list of deliveries. */
const MAX_PAST_MS = 86_400_000;

export interface FeedOptions {
  readonly bus: StatusBus;
  readonly pool: Pool;
  /** For the past of watchers: a crowd that reconnects must not take all connections, nor one user the others' turns. */
  readonly reports: Reports;
  readonly telemetry: Telemetry;
  readonly places: WatcherPlaces;
  /** For tests. */
  readonly heartbeatIntervalMs?: number;
}

export interface FeedStatus {
  readonly watchers: number;
  /** Updates that wait to be sent. */
  readonly buffered: number;
  /** Updates that did not fit: of one user's open watchers, or of all since the process started. */
  readonly dropped: number;
  /** How old what PostgreSQL has confirmed is; 0 without a watcher. */
  readonly lagMs: number;
}

export class StatusFeed implements LongRunning, WatcherFeed {
  readonly name = 'status feed';
  readonly #options: FeedOptions;
  readonly #everyone = new Set<Watcher>();
  readonly #byUser = new Map<string, Set<Watcher>>();
  #running: { readonly controller: AbortController; readonly unsubscribe: () => void; readonly ready: Promise<void> } | null =
    null;
  /** The latest change of each delivery that was sent, in microseconds, for as long as PostgreSQL may return it again. */
  readonly #lastSentMicros = new Map<string, number>();
  #horizonMicros = 0;
  #horizonAgeMs = 0;
  #filledAt = 0;
  #dropped = 0;
  #watcherCount = 0;
  #isDrained = false;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {}

  /** Ends every watcher with `unavailable`. */
  async drain(): Promise<void> {
    this.#isDrained = true;
    for (const watcher of this.#watchers()) watcher.end(shuttingDown());
  }

  get horizonMicros(): number {
    return this.#horizonMicros;
  }

  /**
   * Starts watching: from `fromMicros` (see resumeFrom), or from now on (null). The caller reads with next() and must close().
   *
   * Errors: `resource_exhausted` (watcher_limit_reached, overloaded), `unavailable` (store_unavailable, shutting_down),
   * `invalid_argument` (cursor_invalid).
   */
  async watch(options: { filter: WatchFilter; caller: string; fromMicros: number | null }): Promise<Watcher> {
    if (this.#isDrained) throw shuttingDown();
    if (options.fromMicros !== null && options.fromMicros < (Date.now() - MAX_PAST_MS) * 1000) {
      throw new ServiceError('cursor_invalid', 'after: is more than a day old; read the list of deliveries', {
        violations: [{ field: 'after', message: 'is more than a day old; read the list of deliveries' }],
      });
    }
    this.#options.places.take(options.caller);
    const watcher = new Watcher(this, options);
    this.#add(watcher);
    this.#running ??= this.#run();
    try {
      await this.#running.ready;
    } catch (error) {
      watcher.close();
      throw storeUnavailable(error);
    }
    return watcher;
  }

  /** The figures of one user's watchers, or of all (null). */
  status(caller: string | null): FeedStatus {
    let buffered = 0;
    let watchers = 0;
    let dropped = 0;
    for (const watcher of this.#watchers()) {
      if (caller !== null && watcher.caller !== caller) continue;
      watchers += 1;
      buffered += watcher.buffered;
      dropped += watcher.dropped;
    }
    const lagMs = this.#running === null || this.#filledAt === 0 ? 0 : performance.now() - this.#filledAt + this.#horizonAgeMs;
    return { watchers, buffered, dropped: caller === null ? this.#dropped : dropped, lagMs: Math.round(lagMs) };
  }

  async *readPast(range: PastRange): AsyncIterable<readonly DeliveryRow[]> {
    let page: ChangesPage = { rows: [], next: { micros: range.fromMicros, id: '' } };
    while (page.next !== null) {
      const { untilMicros, userId } = range;
      page = await this.#readPage(range.caller, { from: page.next, untilMicros, userId, max: PAGE_CHANGES });
      yield page.rows;
    }
  }

  // Patient: there are no more of them than watchers, and each asks for its next page when it has sent the last.
  async #readPage(caller: string, range: Parameters<typeof readChangesPage>[1]): Promise<ChangesPage> {
    try {
      return await this.#options.reports.run(caller, (pool) => readChangesPage(pool, range), { isPatient: true });
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  onDropped(): void {
    this.#dropped += 1;
    this.#options.telemetry.events.realtimeDropped(1);
  }

  onClosed(watcher: Watcher): void {
    const { userId } = watcher.filter;
    const group = userId === null ? this.#everyone : this.#byUser.get(userId);
    if (group?.delete(watcher) !== true) return;
    if (userId !== null && group.size === 0) this.#byUser.delete(userId);
    this.#watcherCount -= 1;
    this.#options.places.release(watcher.caller);
    if (this.#watcherCount === 0) this.#stop();
  }

  #add(watcher: Watcher): void {
    const { userId } = watcher.filter;
    let group = userId === null ? this.#everyone : this.#byUser.get(userId);
    if (group === undefined) this.#byUser.set(userId ?? '', (group = new Set()));
    group.add(watcher);
    this.#watcherCount += 1;
  }

  *#watchers(): Iterable<Watcher> {
    yield* this.#everyone;
    for (const group of this.#byUser.values()) yield* group;
  }

  // Works only while a watcher is connected.
  #run() {
    const controller = new AbortController();
    const { signal } = controller;
    const unsubscribe = this.#options.bus.subscribe((updates) => this.#sendAll(updates));
    return { controller, unsubscribe, ready: this.#begin(signal) };
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const startedAt = performance.now();
    const horizon = await readHorizon(this.#options.pool);
    if (signal.aborted) return;
    this.#settle(horizon, startedAt);
    const news = new ReleaseNews(this.#options.pool);
    const onError = (error: unknown): void => this.#options.telemetry.events.storeFailed('database', error);
    void repeat(() => this.#fill(signal), FILL_INTERVAL_MS, signal, onError);
    void repeat(() => this.#sendProgress(news, signal), PROGRESS_INTERVAL_MS, signal, onError);
    const timer = setInterval(() => this.#beat(), this.#options.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS);
    signal.addEventListener('abort', () => clearInterval(timer));
  }

  #stop(): void {
    this.#running?.controller.abort();
    this.#running?.unsubscribe();
    this.#running = null;
    this.#lastSentMicros.clear();
    this.#filledAt = 0;
  }

  #sendAll(updates: readonly StatusUpdate[]): void {
    for (const update of updates) this.#send(toFeedUpdate(update));
  }

  // PostgreSQL has returned everything before the horizon; a later change of the same delivery makes an earlier one stale.
  #send(update: FeedUpdate): void {
    const { deliveryId, userId } = update.update;
    if (update.micros < this.#horizonMicros || (this.#lastSentMicros.get(deliveryId) ?? 0) >= update.micros) return;
    this.#lastSentMicros.set(deliveryId, update.micros);
    for (const watcher of this.#everyone) watcher.offer(update);
    const group = this.#byUser.get(userId);
    if (group !== undefined) for (const watcher of group) watcher.offer(update);
  }

  /** Sends what the bus has not: all that changed since the horizon. Then the horizon moves on. */
  async #fill(signal: AbortSignal): Promise<void> {
    const { pool } = this.#options;
    const startedAt = performance.now();
    const horizon = await readHorizon(pool);
    const changes = await listChanges(pool, { micros: this.#horizonMicros, userIds: this.#selected(), max: MAX_CHANGES });
    const isWatched = (userId: string): boolean => this.#everyone.size > 0 || this.#byUser.has(userId);
    const isNews = ({ id, userId, micros }: Change): boolean =>
      (this.#lastSentMicros.get(id) ?? 0) < micros && isWatched(userId);
    const news = changes.filter(isNews).map(({ id }) => id);
    while (news.length > 0) {
      const rows = await loadChanged(pool, news.splice(0, MAX_LOADED));
      if (signal.aborted) return;
      for (const row of rows) this.#send(toFeedUpdate(toUpdate(row)));
    }
    if (signal.aborted) return;
    const last = changes.at(-1);
    const isComplete = changes.length < MAX_CHANGES || last === undefined;
    this.#settle(isComplete ? horizon : { ...horizon, horizonMicros: Math.min(horizon.horizonMicros, last.micros) }, startedAt);
  }

  async #sendProgress(news: ReleaseNews, signal: AbortSignal): Promise<void> {
    const changed = await news.look(this.#selected());
    if (signal.aborted) return;
    for (const progress of changed) {
      for (const watcher of this.#everyone) watcher.offerProgress(progress);
      for (const watcher of this.#byUser.get(progress.userId) ?? []) watcher.offerProgress(progress);
    }
  }

  /** The users that PostgreSQL is asked about; null: all of them. */
  #selected(): string[] | null {
    return this.#everyone.size > 0 || this.#byUser.size > MAX_SELECTED_USERS ? null : [...this.#byUser.keys()];
  }

  #settle(horizon: { readonly horizonMicros: number; readonly ageMs: number }, at: number): void {
    this.#horizonMicros = Math.max(this.#horizonMicros, horizon.horizonMicros);
    this.#horizonAgeMs = horizon.ageMs;
    this.#filledAt = at;
    for (const [deliveryId, micros] of this.#lastSentMicros)
      if (micros < this.#horizonMicros) this.#lastSentMicros.delete(deliveryId);
  }

  #beat(): void {
    for (const watcher of this.#watchers()) watcher.beat();
  }
}

function shuttingDown(): ServiceError {
  return new ServiceError('shutting_down', 'This process is stopping; try another.', { retryAfterMs: 1000 });
}
