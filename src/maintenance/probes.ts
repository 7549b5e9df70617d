// Probes, by the leader alone: asks the receivers of webhooks that the service stopped for failing whether they are back, and puts those back to
// work that are.
import type { Pool } from 'pg';
import type { Prober, ProbeResult } from '../delivery/prober.ts';
import { newId } from '../domain/ids.ts';
import { rateOf } from '../domain/release-rate.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { closeGone } from '../persistence/queries/disable-webhook.ts';
import { bringBack, type DueProbe, scheduleMissedProbes, takeProbes } from '../persistence/queries/probe-webhooks.ts';
import { LeaderTask } from './leader-task.ts';

/** How often the leader looks for probes that are due, in milliseconds: one look at an index that is empty while no webhook is stopped. */
const LOOK_MS = 10_000;
/** Requests at once. If all hang, two are sent a second: 3,800 such webhooks in half an hour; with more the interval grows. */
const MAX_AT_ONCE = 32;
/** Webhooks that get their first probe from one look; of more, the next look takes some. */
const MAX_SCHEDULED = 1000;

export interface ProbesOptions {
  readonly pool: Pool;
  readonly probe: Prober;
  /** Between two probes of a webhook. */
  readonly intervalMs: number;
  /** How long a webhook is probed, in days since it was stopped. */
  readonly days: number;
  readonly isLeading: () => boolean;
  readonly onProbed: (result: ProbeResult) => void;
  /** Called after the commit, as the others. */
  readonly onBack: (webhook: { webhookId: string; userId: string; how: 'enabled' | 'resumed' }) => void;
  /** A disabled webhook that answered 410. */
  readonly onGone: (webhook: { webhookId: string; userId: string; reason: 'gone' }) => void;
  /** It was away for so long that it is probed no more. */
  readonly onEnded: (webhook: { webhookId: string; userId: string }) => void;
  readonly onError: (error: unknown) => void;
}

export class Probes implements LongRunning {
  readonly name = 'probes';
  readonly #options: ProbesOptions;
  readonly #task: LeaderTask;

  constructor(options: ProbesOptions) {
    this.#options = options;
    const lookMs = Math.min(LOOK_MS, options.intervalMs);
    this.#task = new LeaderTask(options.isLeading, () => this.run(), lookMs, options.onError);
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  /** Sends all probes that are due. */
  async run(): Promise<void> {
    const { pool, intervalMs, days, onEnded, onError } = this.#options;
    await scheduleMissedProbes(pool, { intervalMs, days, max: MAX_SCHEDULED });
    for (let isMore = true; isMore && this.#task.mayGoOn;) {
      const taken = await takeProbes(pool, { intervalMs, days, max: MAX_AT_ONCE });
      for (const webhook of taken.ended) onEnded(webhook);
      // One that cannot be probed must not keep the others from it.
      await Promise.all(taken.probes.map((probe) => this.#probe(probe).catch(onError)));
      isMore = taken.isMore;
    }
  }

  async #probe(due: DueProbe): Promise<void> {
    const { pool, probe, onProbed, onBack, onGone } = this.#options;
    const { webhookId } = due;
    const { result, revision, rateLimit } = await probe(due);
    onProbed(result);
    if (result === 'succeeded') {
      const release = { id: newId('release', Date.now()), rate: rateOf(null, rateLimit) };
      const back = await bringBack(pool, webhookId, revision, release);
      if (back !== null) onBack({ webhookId, ...back });
    }
    // The outcome of a delivery that was answered so disables its webhook by itself.
    if (result === 'gone' && due.deliveryId === null) {
      const userId = await closeGone(pool, webhookId, revision);
      if (userId !== null) onGone({ webhookId, userId, reason: 'gone' });
    }
  }
}
