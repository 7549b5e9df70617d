// What Redis missed while it was away, kept to be sent later: outcomes of deliveries that it had leased, and what became due.
import type { RedisScheduler } from './redis-scheduler.ts';
import type { Scheduled, Settlement } from './scheduler.ts';

/** Entries: a second at full speed, a megabyte. After a longer outage the reconciler goes through all rows. */
const MAX_PENDING = 10_000;
/** Entries in one send. What was sent is not sent again when a later slice fails. */
const SLICE = 500;

export class PendingSync {
  readonly #redis: RedisScheduler;
  readonly #onFailure: (error: unknown) => void;
  readonly #due = new Map<string, Scheduled>();
  /** By delivery and token: the same delivery may have been leased in Redis and then in its row. */
  readonly #settlements = new Map<string, Settlement>();
  #isSending = false;

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
      // A delivery that has ended may be retried by hand before Redis gets this. It is therefore sent as due now (0). The process that
      // claims it reads the row, and drops it if it has ended.
      this.#settlements.set(`${deliveryId} ${token}`, { deliveryId, webhookId, leasedIn, token, dueAtMs: dueAtMs ?? 0 });
      if (dueAtMs !== null) this.addDue([{ deliveryId, webhookId, dueAtMs }]);
    }
  }

  /** Sends everything, unless a send is under way. Never rejects: what fails is sent next time. */
  async send(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      // What is due comes after: until it is settled, Redis leaves it to its holder.
      await sendAll(this.#settlements, (slice) => this.#redis.settle(slice), this.#onFailure);
      await sendAll(this.#due, (slice) => this.#redis.enqueue(slice), this.#onFailure);
    } catch (error) {
      this.#onFailure(error);
    } finally {
      this.#isSending = false;
    }
  }

  get #size(): number {
    return this.#due.size + this.#settlements.size;
  }
}

async function sendAll<Entry>(
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
      // A key that was broken by hand must not block all other slices. What this one lacks, the reconciler puts back.
      onBroken(error);
    }
    for (const [key, entry] of slice) if (entries.get(key) === entry) entries.delete(key);
  }
}

function isBrokenKey(error: unknown): boolean {
  return error instanceof Error && error.message.includes('WRONGTYPE');
}
