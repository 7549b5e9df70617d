// What every schedule must do, as a plain model, and the commands that hold an implementation against it.
import { deepEqual, ok } from 'node:assert/strict';
import fc from 'fast-check';
import type { Leased, Scheduled, Scheduler } from '../../src/schedule/scheduler.ts';
import { newDeliveryId, newWebhookId } from './rows.ts';

/** Far enough that no run comes near it. */
const LATER_MS = 3_600_000;
const WEBHOOKS = 4;

interface Item {
  readonly deliveryId: string;
  readonly webhookId: string;
  due: 'now' | 'later';
  lease: Leased | null;
  /** The lease belongs to a process that died, and has run out. */
  isExpired: boolean;
}

export interface Model {
  readonly items: Map<string, Item>;
  /** Leases that came to an end, for settling them once more. */
  readonly stale: Leased[];
}

/** The system under test: one process that lives, and one whose leases are so short that they have run out when it returns. */
export interface Real {
  readonly alive: Scheduler;
  readonly dying: Scheduler;
  /** Resolves once the server's clock has passed this moment. */
  past(serverMs: number): Promise<void>;
  /** What publish and the recorder write before the schedule gets it. */
  write(items: readonly Scheduled[]): Promise<void>;
  finish(lease: Leased): Promise<void>;
}

type Command = fc.AsyncCommand<Model, Real>;
export const newModel = (): Model => ({ items: new Map(), stale: [] });
const webhooks = Array.from({ length: WEBHOOKS }, newWebhookId);

const isClaimable = (item: Item): boolean => (item.lease === null ? item.due === 'now' : item.isExpired);
const ofIndex = <T>(list: readonly T[], index: number): T | undefined => list[index % Math.max(1, list.length)];

/** Adds new deliveries, and one that may be known. */
class Enqueue implements Command {
  readonly added: readonly { webhook: number; due: 'now' | 'later' }[];
  readonly again: number;
  readonly againDue: 'now' | 'later';
  constructor(added: Enqueue['added'], again: number, againDue: 'now' | 'later') {
    this.added = added;
    this.again = again;
    this.againDue = againDue;
  }
  check = (): boolean => true;
  async run(model: Model, real: Real): Promise<void> {
    const now = Date.now();
    const known = ofIndex([...model.items.values()], this.again);
    const moment = (due: 'now' | 'later'): number => (due === 'now' ? now - 1 : now + LATER_MS);
    const batch = this.added.map(({ webhook, due }) => ({
      deliveryId: newDeliveryId(),
      webhookId: webhooks[webhook] ?? '',
      dueAtMs: moment(due),
    }));
    for (const [index, { deliveryId, webhookId }] of batch.entries()) {
      model.items.set(deliveryId, {
        deliveryId,
        webhookId,
        due: this.added[index]?.due ?? 'now',
        lease: null,
        isExpired: false,
      });
    }
    if (known !== undefined) {
      batch.push({ deliveryId: known.deliveryId, webhookId: known.webhookId, dueAtMs: moment(this.againDue) });
      if (known.lease === null && this.againDue === 'now') known.due = 'now';
    }
    await real.write(batch);
    await real.alive.enqueue(batch);
  }
  toString = (): string => `enqueue(${JSON.stringify(this.added)}, again ${this.again} ${this.againDue})`;
}

class Claim implements Command {
  readonly max: number;
  readonly perWebhook: number;
  readonly room: readonly (readonly [number, number])[];
  constructor(max: number, perWebhook: number, room: Claim['room']) {
    this.max = max;
    this.perWebhook = perWebhook;
    this.room = room;
  }
  check = (): boolean => true;
  async run(model: Model, real: Real): Promise<void> {
    const room = new Map(this.room.map(([webhook, places]) => [webhooks[webhook] ?? '', places]));
    const { leased } = await real.alive.claim({ max: this.max, perWebhook: this.perWebhook, room });
    ok(leased.length <= this.max);
    for (const [webhookId, taken] of Map.groupBy(leased, (lease) => lease.webhookId)) {
      ok(taken.length <= (room.get(webhookId) ?? this.perWebhook));
    }
    take(model, leased, false);
  }
  toString = (): string => `claim(${this.max}, ${this.perWebhook}, ${JSON.stringify(this.room)})`;
}

/** Claims until nothing comes any more: everything that may be had must have come. */
class ClaimAll implements Command {
  readonly max: number;
  readonly closed: number;
  constructor(max: number, closed: number) {
    this.max = max;
    this.closed = closed;
  }
  check = (): boolean => true;
  async run(model: Model, real: Real): Promise<void> {
    const room = new Map([[webhooks[this.closed] ?? '', 0]]);
    const expected = [...model.items.values()].filter((item) => isClaimable(item) && !room.has(item.webhookId));
    const all: Leased[] = [];
    for (let empty = 0; empty < 3;) {
      const { leased } = await real.alive.claim({ max: this.max, perWebhook: this.max, room });
      empty = leased.length === 0 ? empty + 1 : 0;
      all.push(...leased);
    }
    deepEqual(all.map((lease) => lease.deliveryId).toSorted(), expected.map((item) => item.deliveryId).toSorted());
    take(model, all, false);
  }
  toString = (): string => `claimAll(${this.max}, without ${this.closed})`;
}

/** A process takes deliveries and never comes back. */
class ClaimAndDie implements Command {
  readonly max: number;
  constructor(max: number) {
    this.max = max;
  }
  check = (): boolean => true;
  async run(model: Model, real: Real): Promise<void> {
    const { leased } = await real.dying.claim({ max: this.max, perWebhook: this.max, room: new Map() });
    await real.past(Math.max(0, ...leased.map((lease) => lease.token)));
    take(model, leased, true);
  }
  toString = (): string => `claimAndDie(${this.max})`;
}

class Release implements Command {
  readonly index: number;
  readonly due: 'now' | 'later' | 'never';
  constructor(index: number, due: 'now' | 'later' | 'never') {
    this.index = index;
    this.due = due;
  }
  check = (model: Readonly<Model>): boolean => [...model.items.values()].some((item) => item.lease !== null);
  async run(model: Model, real: Real): Promise<void> {
    const item = ofIndex(
      [...model.items.values()].filter((candidate) => candidate.lease !== null),
      this.index,
    );
    if (item === undefined || item.lease === null) return;
    if (this.due === 'never') await real.finish(item.lease);
    const dueAtMs = this.due === 'never' ? null : this.due === 'now' ? Date.now() - 1 : Date.now() + LATER_MS;
    await real.alive.release([{ ...item.lease, dueAtMs }]);
    model.stale.push(item.lease);
    item.lease = null;
    item.isExpired = false;
    if (this.due === 'never') model.items.delete(item.deliveryId);
    else item.due = this.due;
  }
  toString = (): string => `release(${this.index}, ${this.due})`;
}

/** Releases with a token that is no longer the present one: nothing may change. */
class ReleaseStale implements Command {
  readonly index: number;
  readonly due: number | null;
  constructor(index: number, due: number | null) {
    this.index = index;
    this.due = due;
  }
  check = (model: Readonly<Model>): boolean => model.stale.length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const presentToken = (lease: Leased): number | undefined => model.items.get(lease.deliveryId)?.lease?.token;
    const old = model.stale.filter((lease) => presentToken(lease) !== lease.token);
    // Those that another process has leased by now are the ones that could do harm.
    const harmful = old.filter((lease) => presentToken(lease) !== undefined);
    const stale = ofIndex(harmful.length > 0 ? harmful : old, this.index);
    if (stale === undefined) return;
    await real.alive.release([{ ...stale, dueAtMs: this.due }]);
  }
  toString = (): string => `releaseStale(${this.index}, ${this.due})`;
}

// Whatever was taken must have been free, and come with the right count of deaths.
function take(model: Model, leased: readonly Leased[], isExpired: boolean): void {
  for (const lease of leased) {
    const item = model.items.get(lease.deliveryId);
    if (item === undefined) throw new Error(`${lease.deliveryId} has come to an end, and was given out`);
    deepEqual(
      { free: item.lease === null || item.isExpired, webhookId: lease.webhookId, expirations: lease.expirations },
      { free: true, webhookId: item.webhookId, expirations: item.lease === null ? 0 : item.lease.expirations + 1 },
    );
    ok(item.lease !== null || item.due === 'now');
    if (item.lease !== null) model.stale.push(item.lease);
    item.lease = lease;
    item.isExpired = isExpired;
  }
}

const webhook = fc.nat(WEBHOOKS - 1);
const due = fc.constantFrom<'now' | 'later'>('now', 'later');

export const commands = fc.commands(
  [
    fc.tuple(fc.array(fc.record({ webhook, due }), { maxLength: 8 }), fc.nat(100), due).map((values) => new Enqueue(...values)),
    fc
      .tuple(
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(webhook, fc.nat(8)), { maxLength: 3 }),
      )
      .map((values) => new Claim(...values)),
    fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(WEBHOOKS)).map((values) => new ClaimAll(...values)),
    fc.integer({ min: 1, max: 4 }).map((max) => new ClaimAndDie(max)),
    fc
      .tuple(fc.nat(100), fc.constantFrom<'now' | 'later' | 'never'>('now', 'later', 'never'))
      .map((values) => new Release(...values)),
    fc.tuple(fc.nat(100), fc.constantFrom(null, 0)).map((values) => new ReleaseStale(...values)),
  ],
  { maxCommands: 60 },
);
