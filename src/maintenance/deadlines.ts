// The leader ends deliveries at the moment that their events name, whatever they wait for.
import { LeaderTask } from './leader-task.ts';

/** ms. A delivery ends within a second of its deadline; a look that finds nothing takes half a millisecond. */
const INTERVAL_MS = 500;

export interface DeadlinesOptions {
  readonly isLeading: () => boolean;
  /** Ends a batch; answers whether there may be more. */
  readonly endBatch: () => Promise<boolean>;
  readonly onError: (error: unknown) => void;
}

export class Deadlines extends LeaderTask {
  readonly name = 'deadlines';

  constructor({ isLeading, endBatch, onError }: DeadlinesOptions) {
    super(
      isLeading,
      async () => {
        while (this.mayGoOn && (await endBatch()));
      },
      INTERVAL_MS,
      onError,
    );
  }
}
