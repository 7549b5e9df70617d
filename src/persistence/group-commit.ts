// Group commit: what arrives while one batch is being written makes up the next. An idle writer writes at once.

/** Two, so that the database works on one batch while the next is being encoded; more only makes batches smaller. */
const MAX_FLUSHES_IN_FLIGHT = 2;

export interface GroupCommitLimits {
  /** Items in one statement. */
  readonly maxBatchItems: number;
  /** Bytes in one statement. */
  readonly maxBatchBytes: number;
  /** Bytes waiting to be written; beyond it, `add` refuses. */
  readonly maxPendingBytes: number;
  /** Statements at once; two unless said. */
  readonly maxFlushesInFlight?: number;
  /** For items whose commit holds nothing up; otherwise a batch is whatever is there as soon as a statement may begin. */
  readonly pace?: GroupCommitPace;
}

/** A statement costs more than what it writes, and a fast database would get one for every few items. */
export interface GroupCommitPace {
  /** ms between the beginnings of two statements, unless so many items wait. After a pause as long as this the next begins at once. */
  readonly intervalMs: number;
  readonly enoughItems: number;
}

export interface GroupCommitOptions<Item, Result> {
  readonly limits: GroupCommitLimits;
  /** Writes a batch in one transaction. Returns one result an item, in order. */
  readonly write: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Whether a failure is about some item of the batch (then it is bisected out) rather than about the store. */
  readonly isItemFault: (error: unknown) => boolean;
  /** Items with the same order are committed in the order of their arrival: never in two statements at once. Null: in any order. */
  readonly orderOf?: (item: Item) => string | null;
  /** Items that something waits for: no pace keeps them waiting. */
  readonly isAwaited?: (item: Item) => boolean;
}

type Done<Item, Result> = (error: unknown, result: Result | undefined, item: Item) => void;

interface Entry<Item, Result> {
  readonly item: Item;
  readonly bytes: number;
  readonly done: Done<Item, Result>;
}

/** Collects items into batches. Each item succeeds or fails by itself. */
export class GroupCommit<Item, Result> {
  readonly #options: GroupCommitOptions<Item, Result>;
  readonly #maxFlushesInFlight: number;
  #waiting: Entry<Item, Result>[] = [];
  #pendingBytes = 0;
  #flushesInFlight = 0;
  /** The orders of the items that are being written. */
  readonly #busy = new Set<string>();
  #flushScheduled = false;
  #isAwaited = false;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #paceTimer: NodeJS.Timeout | null = null;
  #idleCallbacks: (() => void)[] = [];

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.#options = options;
    this.#maxFlushesInFlight = options.limits.maxFlushesInFlight ?? MAX_FLUSHES_IN_FLIGHT;
  }

  /** Bytes accepted and not yet written. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get pendingItems(): number {
    return this.#waiting.length;
  }

  /** Queues one item; `done` is called once, when its batch is committed or it failed. False: refused, too much is waiting. */
  add(item: Item, bytes: number, done: Done<Item, Result>): boolean {
    if (this.#pendingBytes + bytes > this.#options.limits.maxPendingBytes && this.#pendingBytes > 0) return false;
    this.#pendingBytes += bytes;
    this.#waiting.push({ item, bytes, done });
    if (this.#options.isAwaited?.(item) === true) this.#isAwaited = true;
    this.#schedule();
    return true;
  }

  /** Resolves when everything accepted so far has been written or has failed. */
  idle(): Promise<void> {
    if (this.#waiting.length === 0 && this.#flushesInFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleCallbacks.push(resolve));
  }

  // setImmediate rather than a microtask: calls that arrived in the same turn of the event loop share a batch.
  #schedule(): void {
    if (this.#flushScheduled || this.#flushesInFlight >= this.#maxFlushesInFlight || this.#waiting.length === 0) return;
    if (this.#mustRest()) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      void this.#flush();
    });
  }

  /** Whether too little waits, too soon after the last statement began. Then a timer comes back to it. */
  #mustRest(): boolean {
    const { pace } = this.#options.limits;
    if (pace === undefined || this.#isAwaited || this.#waiting.length >= pace.enoughItems) return false;
    if (this.#paceTimer !== null) return true;
    const restMs = this.#flushedAt + pace.intervalMs - performance.now();
    if (restMs <= 0) return false;
    this.#paceTimer = setTimeout(() => {
      this.#paceTimer = null;
      this.#schedule();
    }, Math.ceil(restMs));
    return true;
  }

  async #flush(): Promise<void> {
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#flushesInFlight += 1;
    if (this.#options.limits.pace !== undefined) this.#flushedAt = performance.now();
    // A full batch leaves some behind.
    if (this.#isAwaited) this.#isAwaited = this.#waiting.some(({ item }) => this.#options.isAwaited?.(item) === true);
    clearTimeout(this.#paceTimer ?? undefined);
    this.#paceTimer = null;
    this.#schedule();
    try {
      await this.#write(batch);
    } finally {
      this.#flushesInFlight -= 1;
      for (const entry of batch) {
        this.#pendingBytes -= entry.bytes;
        const order = this.#orderOf(entry);
        if (order !== null) this.#busy.delete(order);
      }
      this.#schedule();
      if (this.#waiting.length === 0 && this.#flushesInFlight === 0) {
        for (const callback of this.#idleCallbacks.splice(0)) callback();
      }
    }
  }

  #take(): Entry<Item, Result>[] {
    const { maxBatchItems, maxBatchBytes } = this.#options.limits;
    const batch: Entry<Item, Result>[] = [];
    /** Those whose order is being written: they stay in front. */
    const passedOver: Entry<Item, Result>[] = [];
    const taken: string[] = [];
    let seen = 0;
    let bytes = 0;
    for (const entry of this.#waiting) {
      if (batch.length === maxBatchItems || (batch.length > 0 && bytes + entry.bytes > maxBatchBytes)) break;
      seen += 1;
      const order = this.#orderOf(entry);
      if (order !== null && this.#busy.has(order)) {
        passedOver.push(entry);
        continue;
      }
      if (order !== null) taken.push(order);
      bytes += entry.bytes;
      batch.push(entry);
    }
    this.#waiting.splice(0, seen, ...passedOver);
    for (const order of taken) this.#busy.add(order);
    return batch;
  }

  #orderOf({ item }: Entry<Item, Result>): string | null {
    return this.#options.orderOf?.(item) ?? null;
  }

  async #write(entries: readonly Entry<Item, Result>[]): Promise<void> {
    let results: readonly Result[];
    try {
      results = await this.#options.write(entries.map((entry) => entry.item));
    } catch (error) {
      if (entries.length > 1 && this.#options.isItemFault(error)) {
        const middle = entries.length >> 1;
        await this.#write(entries.slice(0, middle));
        await this.#write(entries.slice(middle));
        return;
      }
      for (const entry of entries) entry.done(error, undefined, entry.item);
      return;
    }
    for (const [index, entry] of entries.entries()) entry.done(undefined, results[index], entry.item);
  }
}
