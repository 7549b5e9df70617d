// What Redis was not told while it was away, to be told once it answers: outcomes of what it still holds, and what became due.
import type { RedisScheduler } from './redis-scheduler.ts';
import type { Scheduled, Settlement } from './scheduler.ts';

/** A second at full speed, a megabyte. Of longer outages the reconciler knows, and goes through all rows. */
const MAX_PENDING = 10_000;
/** Told at once, so that what was told is not told again when the next part fails. */
const SLICE = 500;

export class PendingSync {
  readonly #redis: RedisScheduler;
  readonly #onFailure: (error: unknown) => void;
  readonly #due = new Map<string, Scheduled>();
  /** By delivery and token: the same delivery may have been leased in Redis and then in its row. */
  readonly #settlements = new Map<string, Settlement>();
  #isTelling = false;

  constructor(redis: RedisScheduler, onFailure: (error: unknown) => void) {
    this.#redis = redis;
    this.#onFailure = onFailure;
  }

  addDue(items: readonly Scheduled[]): void {
    for (const { deliveryId, webhookId, dueAtMs } of items) {
      if (this.#size < MAX_PENDING) this.#due.set(deliveryId, { deliveryId, webhookId, dueAtMs });
    }
  }

  addSettled(settlements: readonly Settlement[]): void {
    for (const { deliveryId, webhookId, leasedIn, token, dueAtMs } of settlements) {
      if (this.#size >= MAX_PENDING) return;
      // What has come to an end may be owed again by the time that this is told: as due, so that whoever takes it reads the row.
      this.#settlements.set(`${deliveryId} ${token}`, { deliveryId, webhookId, leasedIn, token, dueAtMs: dueAtMs ?? 0 });
      if (dueAtMs !== null) this.addDue([{ deliveryId, webhookId, dueAtMs }]);
    }
  }

  /** Tells what there is, unless that is going on. Never rejects: what fails is told next time. */
  async tell(): Promise<void> {
    if (this.#isTelling) return;
    this.#isTelling = true;
    try {
      // What is due comes after: until it is settled, Redis leaves it to its holder.
      await tellAll(this.#settlements, (slice) => this.#redis.settle(slice), this.#onFailure);
      await tellAll(this.#due, (slice) => this.#redis.enqueue(slice), this.#onFailure);
    } catch (error) {
      this.#onFailure(error);
    } finally {
      this.#isTelling = false;
    }
  }

  get #size(): number {
    return this.#due.size + this.#settlements.size;
  }
}

async function tellAll<Entry>(
  entries: Map<string, Entry>,
  send: (slice: Entry[]) => Promise<unknown>,
  onBroken: (error: unknown) => void,
): Promise<void> {
  while (entries.size > 0) {
    const slice = [...entries].slice(0, SLICE);
    try {
      await send(slice.map(([, entry]) => entry));
    } catch (error) {
      if (!isBrokenKey(error)) throw error;
      // Written by hand, it must not stand in the way of all other slices; what this one lacks the reconciler puts back.
      onBroken(error);
    }
    for (const [key, entry] of slice) if (entries.get(key) === entry) entries.delete(key);
  }
}

function isBrokenKey(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}
