// How many changes run at once. A change holds a connection while it waits for a row or a user's own lock, so who makes many of them
// waits here, before a connection is taken.
import { FairQueue } from '../persistence/fair-queue.ts';

/** Of the connections for entities (six): reads keep two, whatever changes wait for. */
const MAX_CHANGES = 4;
/** One works, the next one waits for the same lock: more at once would only wait. */
const MAX_CHANGES_PER_CALLER = 2;
/** A script that sets up a hundred webhooks at once gets through: a change takes some 5 ms. */
const MAX_WAITING_PER_CALLER = 100;
const MAX_WAITING = 1000;
/** A third of what a call may take: later the answer would come too late. */
const MAX_WAIT_MS = 10_000;

export function createChangeQueue(): FairQueue {
  return new FairQueue({
    maxRunning: MAX_CHANGES,
    maxRunningPerUser: MAX_CHANGES_PER_CALLER,
    maxWaiting: MAX_WAITING,
    maxWaitingPerUser: MAX_WAITING_PER_CALLER,
    maxWaitMs: MAX_WAIT_MS,
    refusal: 'Too many changes are being made at once',
  });
}
