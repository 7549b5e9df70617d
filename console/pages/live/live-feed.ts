// What the live page holds: the deliveries seen lately, each with the trail of its statuses, and what arrived while paused.
import { signal } from '@preact/signals';
import type { Delivery } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { DeliveryRow } from '../../components/delivery-table.tsx';

/** More rows than a person reads, few enough to draw without a stutter. */
const MAX_ROWS = 200;
/** While paused; the oldest are forgotten first, and can still be found among the deliveries. */
const MAX_WAITING = 5000;
/** A delivery that is retried for ever does not grow a row for ever. */
const MAX_TRAIL = 8;

export class LiveFeed {
  /** Latest change first. */
  readonly rows = signal<readonly DeliveryRow[]>([]);
  readonly paused = signal(false);
  readonly waiting = signal(0);
  /** Changes seen since the page was opened. */
  readonly seen = signal(0);

  #waiting: Delivery[] = [];
  #arrived: Delivery[] = [];

  add(delivery: Delivery): void {
    this.seen.value += 1;
    if (this.paused.value) {
      this.#waiting.push(delivery);
      if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
      this.waiting.value = this.#waiting.length;
      return;
    }
    this.#arrived.push(delivery);
    // Thousands of updates a second are drawn once a frame.
    if (this.#arrived.length === 1) requestAnimationFrame(() => this.#show(this.#arrived.splice(0)));
  }

  pause(): void {
    this.paused.value = true;
  }

  resume(): void {
    this.paused.value = false;
    this.waiting.value = 0;
    this.#show(this.#waiting.splice(0));
  }

  clear(): void {
    this.rows.value = [];
  }

  #show(changes: readonly Delivery[]): void {
    const byId = new Map(this.rows.value.map((row) => [row.delivery.id, row]));
    for (const delivery of changes) {
      const before = byId.get(delivery.id);
      const trail = before?.trail ?? [];
      // The stream delivers at least once: the same change twice is one.
      const repeated =
        before !== undefined &&
        before.delivery.status === delivery.status &&
        before.delivery.attemptCount === delivery.attemptCount;
      byId.delete(delivery.id);
      byId.set(delivery.id, {
        delivery,
        trail: repeated ? trail : [...trail, delivery.status].slice(-MAX_TRAIL),
        at: repeated && before.at !== undefined ? before.at : new Date(),
      });
    }
    const oldestFirst = [...byId.values()].toSorted((a, b) => (a.at?.getTime() ?? 0) - (b.at?.getTime() ?? 0));
    this.rows.value = oldestFirst.toReversed().slice(0, MAX_ROWS);
  }
}
