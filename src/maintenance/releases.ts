// Releases, by the leader alone: moves what a paused webhook has scheduled into the hold, and makes what is held, or is to be sent again, due at a
// pace.
import type { Pool } from 'pg';
import { FAILURES_TO_OPEN } from '../domain/delivery-rules.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import { Hold } from '../persistence/delivery-state.ts';
import { haveAllEnded } from '../persistence/queries/close-sums.ts';
import { gatherScheduled } from '../persistence/queries/hold-deliveries.ts';
import {
  beginMissing,
  beginTail,
  cancelRelease,
  completeRelease,
  countDue,
  endGathering,
  endReplay,
  foldReleaseNotes,
  listGathering,
  listOpenReleases,
  markTail,
  type OpenRelease,
  type ReleaseWait,
  setWaiting,
} from '../persistence/queries/release-states.ts';
import { type Step, stepRelease } from '../persistence/queries/release-step.ts';
import { stepMissing, stepReplay } from '../persistence/queries/replay-step.ts';
import type { Scheduler } from '../schedule/scheduler.ts';
import { LeaderTask } from './leader-task.ts';

/** How often the leader looks for releases while there is none, in milliseconds. */
const IDLE_MS = 500;
/** Between the steps of a release, in milliseconds: a step of ten deliveries at 100 a second. */
const STEP_MS = 100;
/** Deliveries that one statement moves into the hold: some 70 ms. */
const MAX_GATHERED = 1000;
/** A release is at most so far ahead of its receiver: the deliveries of so many seconds, and not fewer than so many. */
const MAX_AHEAD_SECONDS = 10;
const MIN_AHEAD = 100;
/** How often it is asked how far ahead a release is, in milliseconds. */
const AHEAD_INTERVAL_MS = 1000;
/** While its receiver fails, a release sends one delivery in so long to find out whether it is back, in milliseconds. */
const PROBE_INTERVAL_MS = 5000;

export interface ReleasesOptions {
  readonly pool: Pool;
  readonly scheduler: Pick<Scheduler, 'enqueue'>;
  readonly isLeading: () => boolean;
  /** To be called after a committed change that attempts must see. */
  readonly onWebhookChanged: (webhookId: string) => void;
  readonly onHeld: (count: number) => void;
  readonly onReleased: (count: number) => void;
  readonly onError: (error: unknown) => void;
}

/** What this process remembers of a release. Losing it costs nothing but a question. */
interface Memory {
  aheadAskedAt: number;
  isAhead: boolean;
  probedAt: number;
}

export class Releases implements LongRunning {
  readonly name = 'releases';
  readonly #options: ReleasesOptions;
  readonly #task: LeaderTask;
  #memories = new Map<string, Memory>();
  #running = Number.NaN;
  #waiting = Number.NaN;

  constructor(options: ReleasesOptions) {
    this.#options = options;
    this.#task = new LeaderTask(options.isLeading, () => this.#run(), IDLE_MS, options.onError);
  }

  /** Releases that have not ended; NaN: not known to this process. */
  get running(): number {
    return this.#options.isLeading() ? this.#running : Number.NaN;
  }

  /** Those of them that wait for a receiver that fails. */
  get waiting(): number {
    return this.#options.isLeading() ? this.#waiting : Number.NaN;
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  async #run(): Promise<void> {
    while (this.#task.mayGoOn) {
      if (!(await this.#round())) return;
      await pause(STEP_MS, this.#task.signal);
    }
    // Should it lead again, it does not know them yet.
    this.#running = Number.NaN;
    this.#waiting = Number.NaN;
  }

  /** Answers whether there is more to do at once. */
  async #round(): Promise<boolean> {
    const { pool } = this.#options;
    const gathering = await listGathering(pool);
    for (const webhookId of gathering) await this.#each(() => this.#gather(webhookId));
    const open = await listOpenReleases(pool);
    this.#running = open.length;
    this.#waiting = open.filter(({ state }) => state === 'waiting').length;
    this.#memories = new Map(open.map(({ no }) => [no, this.#memories.get(no) ?? newMemory()]));
    for (const release of open) {
      await this.#each(() => (release.kind === 'replay' ? this.#advanceReplay(release) : this.#advance(release)));
    }
    await foldReleaseNotes(pool);
    return gathering.length + open.length > 0;
  }

  // One that cannot be done must not keep the others from being done.
  async #each(work: () => Promise<void>): Promise<void> {
    if (!this.#task.mayGoOn) return;
    await work().catch(this.#options.onError);
  }

  async #gather(webhookId: string): Promise<void> {
    const { pool, onHeld, onWebhookChanged } = this.#options;
    const count = await gatherScheduled(pool, webhookId, MAX_GATHERED);
    onHeld(count);
    if (count === 0 && (await endGathering(pool, webhookId))) onWebhookChanged(webhookId);
  }

  async #advance(release: OpenRelease): Promise<void> {
    const { pool, onWebhookChanged } = this.#options;
    const { no, webhookId, hold, isGathering, isDeliverable, tailAt } = release;
    if (!isDeliverable) {
      if (await cancelRelease(pool, release)) onWebhookChanged(webhookId);
      return;
    }
    const probe = (): Promise<Step> => stepRelease(pool, { releaseNo: no, max: 1 });
    if (isGathering || (await this.#waits(release, probe))) return;
    if (hold === Hold.tail && tailAt === null) return markTail(pool, no);
    if (hold === Hold.tail && !(await haveAllEnded(pool, tailAt ?? ''))) return;
    const isLastPass = hold === Hold.tail;
    const { due, isExhausted } = await this.#step(() => stepRelease(pool, { releaseNo: no, isLastPass }));
    // More may have been held since the snapshot of a step that found some.
    if (due.length > 0 || !isExhausted) return;
    if (await (isLastPass ? completeRelease(pool, release) : beginTail(pool, release))) onWebhookChanged(webhookId);
  }

  /** What has ended is sent again, and then what was never made is made. A hold goes first. */
  async #advanceReplay(release: OpenRelease): Promise<void> {
    const { pool } = this.#options;
    const { no, filter, hold, isDeliverable, isMakingMissing } = release;
    if (!isDeliverable) return endReplay(pool, no, { state: 'cancelled', reason: 'webhook_disabled' });
    if (hold !== Hold.none) return this.#setWaiting(release, hold === Hold.paused ? 'webhook_paused' : 'webhook_resuming');
    const step = (max?: number): Promise<Step> => {
      const request = { releaseNo: no, filter, ...(max === undefined ? {} : { max }) };
      return isMakingMissing ? stepMissing(pool, request) : stepReplay(pool, request);
    };
    if (await this.#waits(release, () => step(1))) return;
    const { isExhausted } = await this.#step(step);
    if (!isExhausted) return;
    if (filter.include_missing && !isMakingMissing) return beginMissing(pool, no);
    return endReplay(pool, no, { state: 'completed', reason: null });
  }

  async #step(step: () => Promise<Step>): Promise<Step> {
    const { scheduler, onReleased, onError } = this.#options;
    const result = await step();
    if (result.due.length === 0) return result;
    onReleased(result.due.length);
    // They are due in their rows by now: what a schedule in Redis does not take, the reconciler puts there.
    await scheduler.enqueue(result.due).catch(onError);
    return result;
  }

  /** @param probe makes one delivery due */
  async #waits(release: OpenRelease, probe: () => Promise<Step>): Promise<boolean> {
    const { pool } = this.#options;
    const { no, webhookId, consecutiveFailures } = release;
    const memory = this.#memories.get(no) ?? newMemory();
    if (consecutiveFailures < FAILURES_TO_OPEN) {
      await this.#setWaiting(release, null);
      return this.#isAhead(release, memory);
    }
    await this.#setWaiting(release, 'receiver_failing');
    const now = performance.now();
    if (now < memory.probedAt + PROBE_INTERVAL_MS) return true;
    memory.probedAt = now;
    // What is due already, or is tried again soon, finds out as well.
    if ((await countDue(pool, webhookId, 1)) === 0) await this.#step(probe);
    return true;
  }

  // A release that waits is looked at ten times a second, and written when that changes.
  async #setWaiting({ no, reason: current }: OpenRelease, reason: ReleaseWait | null): Promise<void> {
    if (reason !== current) await setWaiting(this.#options.pool, no, reason);
  }

  async #isAhead({ webhookId, rate }: OpenRelease, memory: Memory): Promise<boolean> {
    const now = performance.now();
    if (now >= memory.aheadAskedAt + AHEAD_INTERVAL_MS) {
      const max = Math.max(MIN_AHEAD, MAX_AHEAD_SECONDS * rate);
      memory.aheadAskedAt = now;
      memory.isAhead = (await countDue(this.#options.pool, webhookId, max)) >= max;
    }
    return memory.isAhead;
  }
}

function newMemory(): Memory {
  return { aheadAskedAt: Number.NEGATIVE_INFINITY, isAhead: false, probedAt: Number.NEGATIVE_INFINITY };
}
