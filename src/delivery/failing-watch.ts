// Watches how far failing webhooks are on the way to being stopped, so that their owners get a notice in time.
import { BoundedMap } from '../bounded-map.ts';
import type { FailingWebhook } from '../persistence/queries/record-outcomes.ts';

/** Percent of the way, the furthest first. At 100 the webhook is stopped, which is a notice of its own. */
const STEPS = [80, 50] as const;
/** Failing webhooks of which this process knows that there was a notice. Of others the database is asked at each failure. */
const MAX_KNOWN = 10_000;

interface Known {
  readonly failures: number;
  readonly percent: number;
}

export interface FailingWatchOptions {
  readonly disableAfterMs: number;
  readonly disableAfterFailures: number;
}

export class FailingWatch {
  readonly #options: FailingWatchOptions;
  readonly #known = new BoundedMap<string, Known>(MAX_KNOWN);

  constructor(options: FailingWatchOptions) {
    this.#options = options;
  }

  /** Whether it is to be stopped: it has failed for long enough, and often enough. */
  isOver(webhook: FailingWebhook): boolean {
    return this.#partOf(webhook) >= 1;
  }

  /** The step that it has reached, when this process does not know of a notice; else null. */
  reached(webhook: FailingWebhook): number | null {
    const { webhookId, consecutiveFailures: failures } = webhook;
    const part = this.#partOf(webhook);
    const percent = STEPS.find((step) => part * 100 >= step);
    const known = this.#known.get(webhookId);
    if (percent === undefined) {
      if (known !== undefined) this.#known.delete(webhookId);
      return null;
    }
    // Fewer failures than before are those of another run.
    const isKnown = known !== undefined && known.percent >= percent && known.failures <= failures;
    this.#known.set(webhookId, { failures, percent });
    return isKnown ? null : percent;
  }

  /** To be called when there could be no notice: the next failure tries again. */
  forget(webhookId: string): void {
    this.#known.delete(webhookId);
  }

  #partOf({ failingForMs, consecutiveFailures }: FailingWebhook): number {
    const { disableAfterMs, disableAfterFailures } = this.#options;
    return Math.min(failingForMs / disableAfterMs, consecutiveFailures / disableAfterFailures);
  }
}
