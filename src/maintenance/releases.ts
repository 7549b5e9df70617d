// Releases, by the leader alone: moves what a paused webhook has scheduled into the hold, and makes what is held due at a pace.
import type { Pool } from 'pg';
import { FAILURES_TO_OPEN } from '../domain/delivery-rules.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import { Hold } from '../persistence/delivery-state.ts';
import { haveAllEnded } from '../persistence/queries/close-sums.ts';
import { gatherScheduled } from '../persistence/queries/hold-deliveries.ts';
import {
  beginTail,
  cancelRelease,
  completeRelease,
  countDue,
  endGathering,
  foldReleaseNotes,
  listGathering,
  listOpenReleases,
  markTail,
  type OpenRelease,
  setWaiting,
} from '../persistence/queries/release-states.ts';
import { stepRelease, type StepRequest } from '../persistence/queries/release-step.ts';
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
    return this.#running;
  }

  /** Those of them that wait for a receiver that fails. */
  get waiting(): number {
    return this.#waiting;
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
    for (const release of open) await this.#each(() => this.#advance(release));
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
    if (isGathering || (await this.#waits(release))) return;
    if (hold === Hold.tail && tailAt === null) return markTail(pool, no);
    if (hold === Hold.tail && !(await haveAllEnded(pool, tailAt ?? ''))) return;
    const isLastPass = hold === Hold.tail;
    if (!(await this.#step({ releaseNo: no, isLastPass }))) return;
    if (await (isLastPass ? completeRelease(pool, release) : beginTail(pool, release))) onWebhookChanged(webhookId);
  }

  /** Answers whether nothing was left that its pace would have allowed. */
  async #step(request: StepRequest): Promise<boolean> {
    const { pool, scheduler, onReleased, onError } = this.#options;
    const { due, isExhausted } = await stepRelease(pool, request);
    if (due.length === 0) return isExhausted;
    onReleased(due.length);
    // They are due in their rows by now: what a schedule in Redis does not take, the reconciler puts there.
    await scheduler.enqueue(due).catch(onError);
    // More may have been held since its snapshot.
    return false;
  }

  async #waits(release: OpenRelease): Promise<boolean> {
    const { pool } = this.#options;
    const { no, webhookId, state, consecutiveFailures } = release;
    const memory = this.#memories.get(no) ?? newMemory();
    if (consecutiveFailures < FAILURES_TO_OPEN) {
      if (state === 'waiting') await setWaiting(pool, no, null);
      return this.#isAhead(release, memory);
    }
    if (state !== 'waiting') await setWaiting(pool, no, 'receiver_failing');
    const now = performance.now();
    if (now < memory.probedAt + PROBE_INTERVAL_MS) return true;
    memory.probedAt = now;
    // What is due already, or is tried again soon, finds out as well.
    if ((await countDue(pool, webhookId, 1)) === 0) await this.#step({ releaseNo: no, max: 1 });
    return true;
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
