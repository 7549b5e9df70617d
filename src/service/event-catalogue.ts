// The catalogue of event types as this process knows it: in memory, and at most a second behind PostgreSQL.
import { isDeepStrictEqual } from 'node:util';
import type { Pool } from 'pg';
import { type EventType, type PayloadValidation } from '../domain/event-type.ts';
import { isPattern, isSubscribedBy } from '../domain/subscription.ts';
import { invalid } from '../domain/errors.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';
import { readCatalogueRevision, readEventTypes } from '../persistence/queries/event-types.ts';
import type { PayloadCheck } from './payload-schema.ts';

/** A change is known everywhere within a second. Each look reads one row, and no Redis is needed. */
const LOOK_INTERVAL_MS = 400;

/** A type as publishes see it. */
export interface CheckedType extends EventType {
  /** Null: its payloads are not checked. */
  readonly check: PayloadCheck | null;
}

export interface CatalogueReports {
  /** The catalogue could not be read; what was read before stays in use. */
  onError(error: unknown): void;
  /** A schema that was accepted once cannot be compiled by this process: payloads of its type are not checked. */
  onUnusableSchema(eventType: string, error: unknown): void;
  /** A payload is not what its schema says: accepted in `warn`, refused in `strict`. */
  onMismatch(mismatch: {
    readonly eventType: string;
    readonly validation: PayloadValidation;
    readonly field: string;
    readonly message: string;
  }): void;
}

export class EventCatalogue implements LongRunning {
  readonly name = 'event catalogue';
  readonly #pool: Pool;
  readonly #reports: CatalogueReports;
  readonly #looking: PeriodicTask;
  #types: ReadonlyMap<string, CheckedType> = new Map();
  #revision = -1;
  #reading: Promise<void> = Promise.resolve();

  constructor(pool: Pool, reports: CatalogueReports) {
    this.#pool = pool;
    this.#reports = reports;
    this.#looking = new PeriodicTask(
      () => this.#look(),
      LOOK_INTERVAL_MS,
      (error) => reports.onError(error),
    );
  }

  async start(): Promise<void> {
    await this.refresh();
    await this.#looking.start();
  }

  drain(): Promise<void> {
    return this.#looking.drain();
  }

  /** The type with this very name. */
  find(name: string): CheckedType | undefined {
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

  /** Throws `event_type_unknown` for the first subscription of a field that is neither a type of the catalogue nor a pattern. */
  checkSubscriptions(subscriptions: readonly string[], field = 'events'): void {
    for (const [index, name] of subscriptions.entries()) {
      if (!this.#types.has(name) && !isPattern(name)) throw unknownEventType(`${field}[${index}]`);
    }
  }

  /**
   * Holds a payload against the schema of its type. Throws `payload_schema_mismatch` when the type is strict.
   * @param data canonical JSON text
   */
  checkPayload({ name, check, validation, schemaVersion }: CheckedType, data: string): void {
    const fault = check?.(JSON.parse(data), 'data') ?? null;
    if (fault === null) return;
    this.#reports.onMismatch({ eventType: name, validation, ...fault });
    if (validation !== 'strict') return;
    throw invalid(
      'payload_schema_mismatch',
      fault.field,
      `${fault.message}, as version ${schemaVersion} of the schema of ${name} says`,
    );
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
    const checked = await Promise.all(types.map(async (type) => ({ ...type, check: await this.#checkOf(type) })));
    this.#types = new Map(checked.map((type) => [type.name, type]));
    this.#revision = revision;
  }

  // Compiled once: a change of another type, or of another field, keeps it.
  async #checkOf(type: EventType): Promise<PayloadCheck | null> {
    if (type.schema === null || type.validation === 'off') return null;
    const before = this.#types.get(type.name);
    if (before?.check != null && isDeepStrictEqual(before.schema, type.schema)) return before.check;
    try {
      const { compileCheck } = await import('./payload-schema.ts');
      return compileCheck(type.schema);
    } catch (error) {
      this.#reports.onUnusableSchema(type.name, error);
      return null;
    }
  }

  async #look(): Promise<void> {
    if ((await readCatalogueRevision(this.#pool)) !== this.#revision) await this.refresh();
  }
}

export function unknownEventType(field: string) {
  return invalid('event_type_unknown', field, 'is not an event type of the catalogue; GET /api/v1/webhooks/events lists them');
}
