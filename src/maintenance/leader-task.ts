// A periodic task of the leader alone.
import { PeriodicTask } from '../lifecycle/periodic-task.ts';

export class LeaderTask extends PeriodicTask {
  readonly #isLeading: () => boolean;

  constructor(isLeading: () => boolean, run: () => Promise<void>, intervalMs: number, onError: (error: unknown) => void) {
    super(run, intervalMs, onError);
    this.#isLeading = isLeading;
  }

  /** Asked before each statement: leadership may be lost, or the task drained, in the middle of a run. */
  get mayGoOn(): boolean {
    return this.#isLeading() && !this.signal.aborted;
  }
}
