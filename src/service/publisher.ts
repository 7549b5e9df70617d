// The publisher: gathers the events of all protocols into group commits and replies to each once it is on disk.
import { hasExpired } from '../domain/delivery.ts';
import type { Pool } from 'pg';
import { ServiceError } from '../domain/errors.ts';
import { TimeoutSet } from '../lifecycle/timeout-set.ts';
import { GroupCommit } from '../persistence/group-commit.ts';
import { countSubscribers } from '../persistence/queries/count-subscribers.ts';
import { takeBatchKey } from '../persistence/queries/idempotent-calls.ts';
import type { DeliveryRow } from '../persistence/queries/delivery-row.ts';
import { findIdempotentEvents } from '../persistence/queries/find-idempotent-events.ts';
import {
  insertEvents,
  type InsertLeaseRequest,
  type EventRow,
  type InsertedEvents,
  type InsertedDelivery,
} from '../persistence/queries/insert-events.ts';
import { isDataError, storeUnavailable } from '../persistence/store-errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { BroadcastWeight } from './broadcast-weight.ts';
import { KEY_KEPT_MS, keyReused } from './idempotency-key.ts';

/** One statement takes so many events; measured throughput does not grow beyond, latency does. */
const MAX_BATCH_EVENTS = 500;
/** One statement takes so many bytes of payload: four of the largest payloads, a few milliseconds of work. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** Payload waiting in memory for the database. Beyond it publishers are refused as `overloaded`, and the process does not grow. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;
/** With so much waiting, streams are read no further: there is room left for the calls that cannot be made to wait. */
const BUSY_BYTES = MAX_PENDING_BYTES / 4;
/** What a row costs beside its payload, in bytes. */
const ROW_BYTES = 300;
/**
 * One broadcast has so many webhooks at most: some five seconds of one statement, which the server ends after ten. A platform with more
 * of them publishes to parts of the users.
 */
export const MAX_BROADCAST_WEBHOOKS = 100_000;
/** How long an overloaded service asks publishers to wait, in milliseconds. */
const OVERLOADED_RETRY_MS = 1000;

/** While the database hangs a batch waits for the one before it; callers learn that before their own deadline. */
const MAX_WAIT_MS = 10_000;

/** What one statement committed. */
export interface Commit {
  readonly events: readonly { readonly event: EventRow; readonly deliveries: readonly InsertedDelivery[] }[];
  /** What it ended, since it has newer ones with the same collapse keys. */
  readonly superseded: readonly DeliveryRow[];
  /** By PostgreSQL's clock, in milliseconds since 1970. */
  readonly createdAtMs: number;
  /** The lease of the deliveries that are leased on insert: its end by PostgreSQL's clock, and by this process's own. */
  readonly lease: { readonly untilMs: number; readonly expiresAt: number } | null;
}

export interface Published {
  readonly eventId: string;
  /** How many webhooks get it. */
  readonly deliveries: number;
  /** Whether an earlier call with the same idempotency key had published it. */
  readonly duplicate: boolean;
  /** Whether its `deliver_before` had passed: none of them is sent. Undefined: no. */
  readonly expired?: true;
}

export interface PublisherOptions {
  readonly pool: Pool;
  readonly telemetry: Telemetry;
  /** Asked before each commit: what of it this process is going to try at once; null: nothing. */
  readonly insertLeaseFor: (events: readonly EventRow[]) => InsertLeaseRequest | null;
  readonly onCommitted: (commit: Commit) => void;
}

export class Publisher {
  readonly #options: PublisherOptions;
  /** Calls that wait for their commit. It may still come later: that is what idempotency keys are for. */
  readonly #waits = new TimeoutSet<(reason: ServiceError) => void>(MAX_WAIT_MS, (reject) =>
    reject(storeUnavailable(new Error('the commit takes too long'))),
  );
  readonly #commits: GroupCommit<EventRow, Published | ServiceError>;
  /** Apart from the others, which would wait for them: a broadcast may have a hundred thousand webhooks. One statement at a time. */
  readonly #broadcasts: GroupCommit<EventRow, Published | ServiceError>;
  readonly #broadcastWeight = new BroadcastWeight(MAX_PENDING_BYTES);

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#commits = new GroupCommit({
      limits: { maxBatchItems: MAX_BATCH_EVENTS, maxBatchBytes: MAX_BATCH_BYTES, maxPendingBytes: MAX_PENDING_BYTES },
      write: (events) => this.#write(events),
      isItemFault: isDataError,
      orderOf: (event) => event.chain,
    });
    this.#broadcasts = new GroupCommit({
      limits: {
        maxBatchItems: MAX_BATCH_EVENTS,
        maxBatchBytes: this.#broadcastWeight.maxStatementBytes,
        maxPendingBytes: MAX_PENDING_BYTES,
        maxFlushesInFlight: 1,
      },
      write: (events) => this.#writeBroadcasts(events),
      isItemFault: isDataError,
    });
  }

  /** Resolves once the event is committed; rejects with a ServiceError. */
  publish(event: EventRow): Promise<Published> {
    const startedAt = performance.now();
    return new Promise((resolve, reject) => {
      const commits = event.broadcast ? this.#broadcasts : this.#commits;
      const bytes = (event.broadcast ? this.#broadcastWeight.bytes : ROW_BYTES) + event.data.length;
      const isTaken = commits.add(event, bytes, (error, result) => {
        this.#waits.end(reject);
        if (error !== undefined) reject(storeUnavailable(error));
        else if (result instanceof ServiceError) reject(result);
        else if (result !== undefined) {
          this.#options.telemetry.events.publishAnswered(performance.now() - startedAt);
          resolve(result);
        }
      });
      if (!isTaken) return reject(event.broadcast ? tooManyBroadcasts() : overloaded());
      this.#waits.begin(reject, startedAt);
    });
  }

  /**
   * Takes the idempotency key of a batch, before anything of it is written. The same batch may take it again: its events have keys of their own.
   * Throws `idempotency_key_reused` when another batch has it.
   */
  async takeBatchKey(publisher: string, method: string, key: string, batchHash: string): Promise<void> {
    const taken = await takeBatchKey(this.#options.pool, { caller: publisher, method, key }, batchHash, KEY_KEPT_MS);
    if (taken !== batchHash) throw keyReused();
  }

  /** Whether who can wait had better wait. */
  get isBusy(): boolean {
    return this.#commits.pendingBytes > BUSY_BYTES;
  }

  /** Events that wait for a commit. */
  get waitingEvents(): number {
    return this.#commits.pendingItems + this.#broadcasts.pendingItems;
  }

  /** Resolves when everything accepted so far is answered. */
  async idle(): Promise<void> {
    await Promise.all([this.#commits.idle(), this.#broadcasts.idle()]);
  }

  async #writeBroadcasts(events: readonly EventRow[]): Promise<(Published | ServiceError)[]> {
    const types = events.map((event) => event.eventType);
    const webhooks = await countSubscribers(this.#options.pool, types, MAX_BROADCAST_WEBHOOKS + 1);
    const written = events.filter((_, index) => (webhooks[index] ?? 0) <= MAX_BROADCAST_WEBHOOKS);
    const startedAt = performance.now();
    const results = written.length > 0 ? await this.#write(written) : [];
    this.#broadcastWeight.learn(written.length, performance.now() - startedAt);
    const answers = new Map(written.map((event, index) => [event, results[index]]));
    return events.map((event) => answers.get(event) ?? broadcastTooLarge());
  }

  async #write(events: readonly EventRow[]): Promise<(Published | ServiceError)[]> {
    const startedAtMs = Date.now();
    const { firsts, repeats } = splitRepeats(events);
    const lease = this.#options.insertLeaseFor(firsts);
    // Before the server looks at its clock: this side must never believe in a lease longer than the row does.
    const expiresAt = performance.now() + (lease?.leaseMs ?? 0);
    const written = await insertEvents(this.#options.pool, firsts, lease);
    this.#announce(firsts, written, expiresAt, startedAtMs);
    const answers = new Map<EventRow, Published | ServiceError>();
    for (const event of firsts) {
      const created = written.deliveries.get(event.id);
      if (created === undefined) repeats.push(event);
      else {
        const isExpired = hasExpired(event.deliverBeforeMs, written.createdAtMs);
        answers.set(event, published(event.id, created.length, false, isExpired));
      }
    }
    // What is committed is committed, whatever becomes of the question about the others: those without an answer are asked to retry.
    if (repeats.length > 0) await this.#answerRepeats(repeats, answers).catch(() => undefined);
    return events.map((event) => answers.get(event) ?? storeUnavailable(undefined));
  }

  #announce(events: readonly EventRow[], written: InsertedEvents, expiresAt: number, startedAtMs: number): void {
    const committed = [];
    let deliveries = 0;
    for (const event of events) {
      const created = written.deliveries.get(event.id);
      if (created === undefined) continue;
      deliveries += created.length;
      committed.push({ event, deliveries: created });
    }
    const { events: telemetryEvents, tracing } = this.#options.telemetry;
    const endedAtMs = Date.now();
    telemetryEvents.publishCommitted({
      events: committed.length,
      duplicates: events.length - committed.length,
      deliveries,
      durationMs: endedAtMs - startedAtMs,
    });
    tracing.step(
      'commit',
      committed.map(({ event }) => event.traceparent),
      startedAtMs,
      endedAtMs,
    );
    if (deliveries === 0) return;
    const { superseded, createdAtMs, leasedUntilMs } = written;
    const lease = leasedUntilMs === null ? null : { untilMs: leasedUntilMs, expiresAt };
    this.#options.onCommitted({ events: committed, superseded, createdAtMs, lease });
  }

  async #answerRepeats(repeats: readonly EventRow[], answers: Map<EventRow, Published | ServiceError>): Promise<void> {
    const keys = repeats.map((event) => ({ publisher: event.publisher, key: event.idempotencyKey ?? '' }));
    const before = await findIdempotentEvents(this.#options.pool, keys);
    for (const [index, event] of repeats.entries()) {
      const first = before[index];
      // It can only be missing when it expired between the two statements; the publisher's retry will then publish it.
      if (first === undefined) answers.set(event, storeUnavailable(undefined));
      else if (first.requestHash !== event.requestHash) answers.set(event, keyReused());
      else answers.set(event, published(first.eventId, first.deliveries, true, first.expired));
    }
  }
}

function published(eventId: string, deliveries: number, duplicate: boolean, isExpired: boolean): Published {
  return isExpired ? { eventId, deliveries, duplicate, expired: true } : { eventId, deliveries, duplicate };
}

// One statement may not touch the same key twice, so within a batch the later ones wait for the answer of the first.
function splitRepeats(events: readonly EventRow[]): { firsts: EventRow[]; repeats: EventRow[] } {
  const seen = new Set<string>();
  const firsts: EventRow[] = [];
  const repeats: EventRow[] = [];
  for (const event of events) {
    if (event.idempotencyKey === null) {
      firsts.push(event);
      continue;
    }
    const key = `${event.publisher}\n${event.idempotencyKey}`;
    (seen.has(key) ? repeats : firsts).push(event);
    seen.add(key);
  }
  return { firsts, repeats };
}

function broadcastTooLarge(): ServiceError {
  const message = `has more than ${MAX_BROADCAST_WEBHOOKS} webhooks; publish to parts of the users with user_ids`;
  return new ServiceError('broadcast_too_large', `audience.broadcast: ${message}`, {
    violations: [{ field: 'audience.broadcast', message }],
  });
}

function tooManyBroadcasts(): ServiceError {
  return new ServiceError('overloaded', 'Too many broadcasts are waiting; try again in a second.', {
    retryAfterMs: OVERLOADED_RETRY_MS,
  });
}

function overloaded(): ServiceError {
  return new ServiceError('overloaded', 'Too much is waiting to be written; try again in a second.', {
    retryAfterMs: OVERLOADED_RETRY_MS,
  });
}
