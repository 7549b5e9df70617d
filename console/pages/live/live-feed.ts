// What the live page holds: the deliveries seen lately, each with the trail of its statuses; above what a person reads, counts instead of rows.
import { signal } from '@preact/signals';
import type { Delivery, DeliveryStatus } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { DeliveryRow } from '../../components/delivery-table.tsx';
import { causeOf } from '../../format/cause.ts';

/** More rows than a person reads, few enough to draw without a stutter. */
const MAX_ROWS = 200;
/** While frozen; the oldest are forgotten first, and can still be found among the deliveries. */
const MAX_WAITING = 5000;
/** A delivery that is retried for ever does not grow a row for ever. */
const MAX_TRAIL = 8;
/** What arrived is drawn so often: it looks immediate, and thousands of changes a second cost as many drawings as ten. */
const DRAW_INTERVAL_MS = 100;
/** A crowd is drawn so often: faster, its numbers could not be read. */
const CROWD_INTERVAL_MS = 1000;
/** Changes a second that a person cannot read any more; below the second, rows are shown again. */
const CROWDED_PER_SECOND = 20;
const READABLE_PER_SECOND = 10;
/** A rate is that of so many seconds, and so are the counts of a crowd. */
const RATE_SECONDS = 5;

export interface CrowdGroup {
  readonly status: DeliveryStatus;
  /** What is in the way; empty where nothing is. */
  readonly cause: string;
  readonly changes: number;
}

/** Changes that come faster than they can be read. */
export interface Crowd {
  readonly perSecond: number;
  /** Of the last seconds, most first. */
  readonly groups: readonly CrowdGroup[];
}

export class LiveFeed {
  /** Latest change first. */
  readonly rows = signal<readonly DeliveryRow[]>([]);
  readonly crowd = signal<Crowd | null>(null);
  readonly paused = signal(false);
  readonly waiting = signal(0);
  /** Changes seen since the page was opened. */
  readonly seen = signal(0);

  #waiting: Delivery[] = [];
  #arrived: Delivery[] = [];
  #seen = 0;
  #lately: { readonly second: number; readonly changes: Delivery[] }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  add(delivery: Delivery): void {
    this.#seen += 1;
    if (this.paused.peek()) {
      this.#waiting.push(delivery);
      if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
    } else {
      this.#arrived.push(delivery);
    }
    this.#drawSoon();
  }

  pause(): void {
    // What was shown as a crowd becomes rows that can be read.
    this.#show(this.#arrived.splice(0));
    this.crowd.value = null;
    this.paused.value = true;
  }

  resume(): void {
    this.paused.value = false;
    this.waiting.value = 0;
    this.#arrived = this.#waiting.splice(0);
    this.#lately = [];
    this.#show(this.#arrived.splice(0));
  }

  clear(): void {
    this.rows.value = [];
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #drawSoon(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#draw();
      },
      this.crowd.peek() === null ? DRAW_INTERVAL_MS : CROWD_INTERVAL_MS,
    );
  }

  #draw(): void {
    this.seen.value = this.#seen;
    this.waiting.value = this.#waiting.length;
    if (this.paused.peek()) return;
    const perSecond = this.#rateWith(this.#arrived);
    const isCrowded = perSecond > (this.crowd.peek() === null ? CROWDED_PER_SECOND : READABLE_PER_SECOND);
    if (isCrowded) {
      this.crowd.value = { perSecond, groups: groupsOf(this.#lately.flatMap(({ changes }) => changes)) };
      // Only these could still become rows.
      this.#arrived.splice(0, this.#arrived.length - MAX_ROWS);
      // It ends by time alone, if nothing else comes.
      this.#drawSoon();
    } else {
      this.crowd.value = null;
      this.#show(this.#arrived.splice(0));
    }
  }

  /** Changes a second, those that were not counted yet included. */
  #rateWith(arrived: readonly Delivery[]): number {
    const second = Math.floor(Date.now() / 1000);
    const fresh = arrived.slice(this.#counted(arrived));
    const last = this.#lately.at(-1);
    if (last?.second === second) last.changes.push(...fresh);
    else this.#lately.push({ second, changes: [...fresh] });
    this.#lately = this.#lately.filter((one) => one.second > second - RATE_SECONDS);
    return this.#lately.reduce((sum, { changes }) => sum + changes.length, 0) / RATE_SECONDS;
  }

  /** How many of these, which wait to become rows, are among the last seconds already. */
  #counted(arrived: readonly Delivery[]): number {
    const newest = this.#lately.findLast(({ changes }) => changes.length > 0)?.changes.at(-1);
    return newest === undefined ? 0 : arrived.lastIndexOf(newest) + 1;
  }

  #show(changes: readonly Delivery[]): void {
    if (changes.length === 0) return;
    const byId = new Map(this.rows.peek().map((row) => [row.delivery.id, row]));
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

function groupsOf(changes: readonly Delivery[]): readonly CrowdGroup[] {
  const groups = new Map<string, { status: DeliveryStatus; cause: string; changes: number }>();
  for (const delivery of changes) {
    const cause = delivery.errorCode === undefined ? '' : causeOf(delivery).label;
    const key = `${delivery.status} ${cause}`;
    const group = groups.get(key) ?? { status: delivery.status, cause, changes: 0 };
    group.changes += 1;
    groups.set(key, group);
  }
  return [...groups.values()].toSorted((a, b) => b.changes - a.changes);
}
