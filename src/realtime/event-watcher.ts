// A watcher of events: one temporary webhook, fed from the table of events as fast as its reader reads.
import type { ServiceError } from '../domain/errors.ts';
import { timeOfId } from '../domain/ids.ts';
import type { EventsPage, EventsRange, WatchedEvent } from '../persistence/queries/watch-events.ts';
import { eventCursor, type EventPosition } from './event-cursor.ts';

/** A stream whose next events are older than this says so. Longer than the feed may pause between two looks. */
export const BEHIND_MICROS = 12_000_000;
/** ms. The time in an id may be this far ahead of its commit, by a clock that is ahead. */
const MAX_ID_LEAD_MS = 1000;

export type EventMessage =
  | { readonly kind: 'event'; readonly cursor: string; readonly event: WatchedEvent }
  /** Every event before the cursor was sent. */
  | { readonly kind: 'heartbeat'; readonly cursor: string }
  /** What follows is older than it should be. */
  | { readonly kind: 'behind'; readonly cursor: string; readonly sinceMs: number };

/** What a watcher needs of the feed. */
export interface EventWatcherFeed {
  /** Every event committed before is visible. In microseconds since 1970. */
  readonly horizonMicros: number;
  readPages(range: EventsRange, caller: string): AsyncIterable<EventsPage>;
  onClosed(watcher: EventWatcher): void;
}

export class EventWatcher {
  readonly userId: string;
  /** Whose connection it is, for the limit of connections. */
  readonly caller: string;
  readonly webhookId: string;
  readonly #feed: EventWatcherFeed;
  readonly #wanted: Pick<EventsRange, 'subscriptions' | 'filter'>;
  readonly #messages: AsyncGenerator<EventMessage, void>;
  #micros: number;
  /** Sent already, of the events that the next read returns again: those committed after the position. */
  #sent = new Set<string>();
  #hasNews = true;
  #isReading = false;
  #heartbeatDue = true;
  #closed = false;
  #reason: ServiceError | null = null;
  #wake: (() => void) | null = null;

  constructor(
    feed: EventWatcherFeed,
    options: {
      readonly userId: string;
      readonly caller: string;
      readonly from: EventPosition;
    } & Pick<EventsRange, 'subscriptions' | 'filter'>,
  ) {
    this.#feed = feed;
    this.userId = options.userId;
    this.caller = options.caller;
    this.webhookId = options.from.webhookId;
    this.#wanted = { subscriptions: options.subscriptions, filter: options.filter };
    this.#micros = options.from.micros;
    this.#messages = this.#read();
  }

  /** The next message; null after close(). Rejects when events cannot be read, or with what end() was given. */
  async next(): Promise<EventMessage | null> {
    const { value, done } = await this.#messages.next();
    return done === true ? null : value;
  }

  /** To be called when there may be an event for its user. */
  onNews(): void {
    this.#hasNews = true;
    this.#wakeUp();
  }

  /** To be called after a look that covers all that was committed before this moment; onNews() first, if there was any. */
  onLook(horizonMicros: number): void {
    if (!this.#hasNews && !this.#isReading) this.#micros = Math.max(this.#micros, horizonMicros);
  }

  beat(): void {
    this.#heartbeatDue = true;
    this.#wakeUp();
  }

  /** Ends it: next() returns null. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#feed.onClosed(this);
    this.#wakeUp();
  }

  /** Ends it with an error. */
  end(reason: ServiceError): void {
    this.#reason ??= reason;
    this.close();
  }

  async *#read(): AsyncGenerator<EventMessage, void> {
    try {
      while (!this.#closed) {
        if (this.#hasNews) yield* this.#readOn();
        else if (this.#heartbeatDue) yield this.#heartbeat(this.#micros);
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (this.#reason !== null) throw this.#reason;
    } finally {
      this.close();
    }
  }

  /**
   * Reads all that was committed since the position. The horizon is older than the read, so nothing before it is missing: it is the next position.
   * What was committed after it is read again next time, and remembered so that it is not sent again.
   */
  async *#readOn(): AsyncGenerator<EventMessage, void> {
    this.#hasNews = false;
    this.#isReading = true;
    const horizonMicros = Math.max(this.#feed.horizonMicros, this.#micros);
    const fromMicros = this.#micros;
    if (horizonMicros - fromMicros > BEHIND_MICROS)
      yield { kind: 'behind', cursor: this.#cursor(fromMicros), sinceMs: fromMicros / 1000 };
    const afterHorizon = new Set<string>();
    const range = { fromMicros, userId: this.userId, ...this.#wanted };
    for await (const { events, lookedTo } of this.#feed.readPages(range, this.caller)) {
      for (const event of events) {
        if (this.#closed) return;
        if (event.createdMicros >= horizonMicros) afterHorizon.add(event.id);
        if (!this.#sent.has(event.id))
          yield { kind: 'event', cursor: this.#cursor(this.#passed(event.id, horizonMicros)), event };
      }
      // A long way through the events of others is no silence.
      if (this.#heartbeatDue && lookedTo !== null) yield this.#heartbeat(this.#passed(lookedTo, horizonMicros));
    }
    this.#sent = afterHorizon;
    this.#micros = horizonMicros;
    this.#isReading = false;
  }

  /** Up to when everything was sent, where all ids up to this one were looked at. */
  #passed(id: string, horizonMicros: number): number {
    return Math.max(this.#micros, Math.min(horizonMicros, (timeOfId(id) - MAX_ID_LEAD_MS) * 1000));
  }

  #heartbeat(micros: number): EventMessage {
    this.#heartbeatDue = false;
    return { kind: 'heartbeat', cursor: this.#cursor(micros) };
  }

  #cursor(micros: number): string {
    return eventCursor({ micros, webhookId: this.webhookId });
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
