// The rescue: what a dead process had leased is due at once, instead of when its leases run out.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { deleteHolder, endHolder, listMissing, type MissingHolder } from '../persistence/queries/holders.ts';
import { listUnfinished, rescueDeliveries } from '../persistence/queries/rescue-deliveries.ts';
import type { RedisScheduler } from '../schedule/redis-scheduler.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import { LeaderTask } from './leader-task.ts';

/** Between two looks, in milliseconds. */
const LOOK_INTERVAL_MS = 1000;
/** So long a holder must be without a session, in milliseconds: one that has lost its connection is back before. */
const MISSING_MS = 1500;

export interface RescueOptions {
  readonly pool: Pool;
  readonly scheduler: Scheduler;
  /** The schedule in Redis; null without one. */
  readonly index: RedisScheduler | null;
  readonly isLeading: () => boolean;
  readonly leaseMs: number;
  /** Since a session of this process was lost, in milliseconds. */
  readonly sessionLostAgoMs: () => number;
  /** Called for each dead process, with how many deliveries are due for it. */
  readonly onRescued: (holder: number, count: number) => void;
  readonly onError: (store: 'database' | 'redis', error: unknown) => void;
}

/**
 * Its end is put on record first: from then on the process, should it live after all, records no failed attempt (record-outcomes.ts). All that
 * follows may be done twice. What cannot be made due, as while Redis is away, is tried again until the leases have run out.
 */
export class Rescue implements LongRunning {
  readonly name = 'rescue';
  readonly #options: RescueOptions;
  readonly #task: LeaderTask;
  /** By its id, when each was first seen without a session, on the monotonic clock. */
  #missingSince: ReadonlyMap<string, number> = new Map();

  constructor(options: RescueOptions) {
    this.#options = options;
    this.#task = new LeaderTask(
      options.isLeading,
      () => this.look(),
      LOOK_INTERVAL_MS,
      (error) => options.onError('database', error),
    );
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  async look(): Promise<void> {
    const { pool, leaseMs, sessionLostAgoMs } = this.#options;
    const missing = this.#task.mayGoOn ? await listMissing(pool, leaseMs, sessionLostAgoMs()) : [];
    const nowMs = performance.now();
    this.#missingSince = new Map(missing.map(({ id }) => [id, this.#missingSince.get(id) ?? nowMs]));
    for (const holder of missing) {
      const isBelieved = holder.hasEnded || nowMs - (this.#missingSince.get(holder.id) ?? nowMs) >= MISSING_MS;
      if (isBelieved && this.#task.mayGoOn) await this.#rescue(holder);
    }
  }

  async #rescue({ id, number, isOver }: MissingHolder): Promise<void> {
    const { pool, scheduler, onRescued, onError } = this.#options;
    if (!(await endHolder(pool, id))) return;
    if (!isOver) {
      const inRows = await rescueDeliveries(pool, number);
      // They are due in their rows by now: what a schedule in Redis does not take, the reconciler puts there.
      if (inRows.length > 0) await scheduler.enqueue(inRows);
      if (inRows.length > 0) onRescued(number, inRows.length);
      try {
        const inRedis = await this.#rescueFromRedis(number);
        if (inRedis > 0) onRescued(number, inRedis);
      } catch (error) {
        return onError('redis', error);
      }
    }
    await deleteHolder(pool, id);
  }

  async #rescueFromRedis(number: number): Promise<number> {
    const { pool, index } = this.#options;
    if (index === null) return 0;
    const leased = await index.leasedBy(number);
    return leased.length === 0 ? 0 : index.rescue(number, await listUnfinished(pool, leased));
  }
}
