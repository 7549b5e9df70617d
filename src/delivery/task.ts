// One delivery in the hands of this process, with everything an attempt needs except the webhook itself.
import type { EventRow, InsertedDelivery } from '../persistence/queries/insert-events.ts';
import type { LoadedDelivery, TaskOrdering } from '../persistence/queries/load-deliveries.ts';
import type { Leased } from '../schedule/scheduler.ts';

/** Its `revision` says how old a copy of the webhook may be: an older one must not be used. */
export interface Task extends Omit<LoadedDelivery, 'id' | 'userId' | 'waitMs' | 'rowExpirations'> {
  readonly deliveryId: string;
  readonly lease: Leased;
  /** Straight from a commit of this process, not claimed from the schedule. */
  readonly isInserted: boolean;
}

/** The lease that all deliveries of one commit share that were leased on insert. */
export interface InsertLease {
  /** By PostgreSQL's clock, in milliseconds since 1970. */
  readonly createdAtMs: number;
  /** `leased_until`, by the same. */
  readonly untilMs: number;
  /** When this process must regard the leases as lost, on `performance.now()`. */
  readonly expiresAt: number;
}

/**
 * A delivery leased on insert, and its lease. Ten thousands of them wait in memory, and the garbage collector visits each. Hence one small
 * object, which reads the rest from its event and its commit.
 */
export class InsertedTask implements Task, Leased {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly revision: number;
  readonly ordering: TaskOrdering | null;
  readonly chain: string | null;
  readonly #event: EventRow;
  readonly #lease: InsertLease;

  constructor(delivery: InsertedDelivery, event: EventRow, lease: InsertLease) {
    this.deliveryId = delivery.deliveryId;
    this.webhookId = delivery.webhookId;
    this.revision = delivery.revision;
    this.ordering = orderingOf(delivery, event);
    this.chain = delivery.ordering === null || delivery.ordering.waits === null ? null : event.chain;
    this.#event = event;
    this.#lease = lease;
  }

  get eventId(): string {
    return this.#event.id;
  }
  get eventType(): string {
    return this.#event.eventType;
  }
  get data(): string {
    return this.#event.data;
  }
  get schemaVersion(): number | null {
    return this.#event.schemaVersion;
  }
  get occurredAtMs(): number {
    return this.#event.occurredAtMs;
  }
  get traceparent(): string | null {
    return this.#event.traceparent;
  }
  get collapseKey(): string | null {
    return this.#event.collapseKey;
  }
  get deliverBeforeMs(): number | null {
    return this.#event.deliverBeforeMs;
  }
  get createdAtMs(): number {
    return this.#lease.createdAtMs;
  }
  get attemptCount(): number {
    return 0;
  }
  get retriesUsed(): number {
    return 0;
  }
  get trigger(): 'automatic' {
    return 'automatic';
  }
  get isInserted(): boolean {
    return true;
  }

  get lease(): Leased {
    return this;
  }
  get leasedIn(): 'row' {
    return 'row';
  }
  get token(): number {
    return this.#lease.untilMs;
  }
  get expirations(): number {
    return 0;
  }
  get expiresAt(): number {
    return this.#lease.expiresAt;
  }
}

function orderingOf({ ordering }: InsertedDelivery, { orderingKey }: EventRow): TaskOrdering | null {
  if (ordering === null || orderingKey === null) return null;
  return { key: orderingKey, sequence: ordering.sequence };
}
