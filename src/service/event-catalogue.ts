// The catalogue of event types as this process knows it: in memory, and at most a second behind PostgreSQL.
import type { Pool } from 'pg';
import { isPattern, isSubscribedBy, type EventType } from '../domain/event-type.ts';
import { invalid } from '../domain/errors.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';
import { readCatalogueRevision, readEventTypes } from '../persistence/queries/event-types.ts';

/** A change is known everywhere within a second. Each look reads one row, and no Redis is needed. */
const LOOK_INTERVAL_MS = 400;

export class EventCatalogue implements LongRunning {
  readonly name = 'event catalogue';
  readonly #pool: Pool;
  readonly #looking: PeriodicTask;
  #types: ReadonlyMap<string, EventType> = new Map();
  #revision = -1;
  #reading: Promise<void> = Promise.resolve();

  /** @param onError called when the catalogue could not be read; what was read before stays in use */
  constructor(pool: Pool, onError: (error: unknown) => void) {
    this.#pool = pool;
    this.#looking = new PeriodicTask(() => this.#look(), LOOK_INTERVAL_MS, onError);
  }

  async start(): Promise<void> {
    await this.refresh();
    await this.#looking.start();
  }

  drain(): Promise<void> {
    return this.#looking.drain();
  }

  /** The type with this very name. */
  find(name: string): EventType | undefined {
    return this.#types.get(name);
  }

  /** The first type, in the order of the list, whose events a webhook with this subscription gets. */
  firstOf(subscription: string): EventType | undefined {
    return this.find(subscription) ?? this.list().find(({ name }) => isSubscribedBy(name, subscription));
  }

  /** Every type, in the order in which they were added. */
  list(): EventType[] {
    return [...this.#types.values()];
  }

  /** Throws `event_type_unknown` for the first subscription that is neither a type of the catalogue nor a pattern. */
  checkSubscriptions(subscriptions: readonly string[]): void {
    for (const [index, name] of subscriptions.entries()) {
      if (!this.#types.has(name) && !isPattern(name)) throw unknownEventType(`events[${index}]`);
    }
  }

  /** Reads the catalogue now: to be called by the process that has changed it. */
  async refresh(): Promise<void> {
    // One after the other: a read that began earlier must not end later.
    const reading = this.#reading.catch(() => undefined).then(() => this.#read());
    this.#reading = reading;
    await reading;
  }

  async #read(): Promise<void> {
    const { types, revision } = await readEventTypes(this.#pool);
    this.#types = new Map(types.map((type) => [type.name, type]));
    this.#revision = revision;
  }

  async #look(): Promise<void> {
    if ((await readCatalogueRevision(this.#pool)) !== this.#revision) await this.refresh();
  }
}

export function unknownEventType(field: string) {
  return invalid('event_type_unknown', field, 'is not an event type of the catalogue; GET /api/v1/webhooks/events lists them');
}
