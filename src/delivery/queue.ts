// A queue that a flood may fill by the ten thousand: taking from its front moves nothing.

/** Front places that were taken are cut off once there are so many, and as many as are left. */
const MIN_CUT = 64;

export class Queue<Item extends object> {
  #items: (Item | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  /** Puts one in front of the others, which are few: all of them move. */
  unshift(item: Item): void {
    this.#items.splice(this.#head, 0, item);
  }

  /** The item that waits longest; undefined when there is none. */
  shift(): Item | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    // The last one leaves an array that is as short as before: hundreds of queues hold one item at a time.
    if (this.#head === this.#items.length - 1) {
      if (this.#head > 0) this.#items.length = 0;
      else this.#items.pop();
      this.#head = 0;
      return item;
    }
    // What is on its way need not be kept for the collector's sake.
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head > MIN_CUT && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes out everything. */
  clear(): Item[] {
    const items = this.#items.slice(this.#head) as Item[];
    this.#items = [];
    this.#head = 0;
    return items;
  }
}
