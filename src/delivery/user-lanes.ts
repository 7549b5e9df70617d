// What one user has in this process: the lanes of the user's webhooks, and their part of all places and queues.
import type { Lane } from './lane.ts';
import { Queue } from './queue.ts';

/** Deliveries that wait, by where they came from. */
export class Waiting {
  claimed = 0;
  direct = 0;
}

/** The lanes of one user that may start something, in turn. */
export interface Turn {
  readonly user: UserLanes;
  readonly lanes: Queue<Lane>;
}

export class UserLanes {
  readonly userId: string;
  readonly lanes = new Set<Lane>();
  /** Lanes that may start something: those with fast receivers, and the others. */
  readonly fast: Turn = { user: this, lanes: new Queue() };
  readonly slow: Turn = { user: this, lanes: new Queue() };
  /** Those for receivers that are not fast, as far as known. */
  readonly slowWaiting = new Waiting();
  inFlight = 0;
  /** Those in flight whose receivers were not fast when they started. */
  slowInFlight = 0;
  /** Payload, waiting and in flight. */
  bytes = 0;
  /** Whether the last claim was limited to less than the lanes had free places for. */
  wasLimited = false;

  constructor(userId: string) {
    this.userId = userId;
  }
}
