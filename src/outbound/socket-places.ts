// Places for sockets: so many at a time, and who finds none waits in turn.
import { SharedInterval } from '../lifecycle/shared-interval.ts';

/** How soon one more socket is tried after the system refused one, in milliseconds: soon enough after the end of a shortage. */
const GROW_INTERVAL_MS = 100;
/** By which part of what there are, then: a shortage that is over is forgotten within two seconds. */
const GROW_SHARE = 1 / 8;

type Waiter = () => void;

/**
 * Those that wait are served first come, first served among their tenant's, and the tenants are served in turn: a flood of one does not hold
 * up another.
 */
export class Places {
  readonly #max: number;
  /** Lower than `#max` once the system has refused a socket. */
  #limit: number;
  #taken = 0;
  #waiters = 0;
  /** The tenant that is served next comes first. */
  readonly #waiting = new Map<string, Set<Waiter>>();
  readonly #growing = new SharedInterval(GROW_INTERVAL_MS, () => this.#grow());

  constructor(max: number) {
    this.#max = max;
    this.#limit = max;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiters;
  }

  /** Takes a place if one is free and none waits for it. */
  tryTake(): boolean {
    if (this.#taken >= this.#limit || this.#waiters > 0) return false;
    this.#taken += 1;
    return true;
  }

  /** `onPlace` is called once, with a place taken. The function that is returned ends the wait. */
  wait(tenant: string, onPlace: Waiter): () => void {
    this.#waitingOf(tenant).add(onPlace);
    return this.#counted(tenant, onPlace);
  }

  /** The same for one that had its place and could not use it: it comes first among its tenant's. */
  waitAgain(tenant: string, onPlace: Waiter): () => void {
    this.#waiting.set(tenant, new Set([onPlace, ...this.#waitingOf(tenant)]));
    return this.#counted(tenant, onPlace);
  }

  /** A place is free again: the next in line gets it at once. */
  give(): void {
    this.#taken -= 1;
    this.#serve();
  }

  /** The system refused a socket for a place that was taken: for now there are no more than are in use. */
  refused(): void {
    this.#taken -= 1;
    this.#limit = Math.min(this.#limit, this.#taken);
    this.#growing.begin();
  }

  #grow(): boolean {
    this.#limit = Math.min(this.#max, this.#limit + Math.max(1, Math.floor(this.#limit * GROW_SHARE)));
    this.#serve();
    return this.#limit < this.#max;
  }

  #serve(): void {
    while (this.#taken < this.#limit) {
      const onPlace = this.#next();
      if (onPlace === null) return;
      this.#taken += 1;
      onPlace();
    }
  }

  #next(): Waiter | null {
    for (const [tenant, waiters] of this.#waiting) {
      for (const onPlace of waiters) {
        this.#end(tenant, waiters, onPlace);
        if (waiters.size === 0) return onPlace;
        this.#waiting.delete(tenant);
        this.#waiting.set(tenant, waiters);
        return onPlace;
      }
    }
    return null;
  }

  #counted(tenant: string, onPlace: Waiter): () => void {
    this.#waiters += 1;
    return () => {
      const waiters = this.#waiting.get(tenant);
      if (waiters?.has(onPlace) === true) this.#end(tenant, waiters, onPlace);
    };
  }

  #end(tenant: string, waiters: Set<Waiter>, onPlace: Waiter): void {
    waiters.delete(onPlace);
    if (waiters.size === 0) this.#waiting.delete(tenant);
    this.#waiters -= 1;
  }

  #waitingOf(tenant: string): Set<Waiter> {
    let waiters = this.#waiting.get(tenant);
    if (waiters === undefined) this.#waiting.set(tenant, (waiters = new Set()));
    return waiters;
  }
}
