// A few tasks at once, shared fairly by user: tasks of one user wait behind each other, and those of others for one turn.
import { ServiceError } from '../domain/errors.ts';

/** ms. Sent to callers as the time to wait when the queue is full: by then some of it has run. */
const RETRY_AFTER_MS = 1000;

export interface FairQueueOptions {
  /** Tasks that run at once, in all. */
  readonly maxRunning: number;
  /** Tasks of one user that run at once. */
  readonly maxRunningPerUser: number;
  /** Tasks that wait, in all: beyond it the next one is refused. */
  readonly maxWaiting: number;
  /** Tasks of one user that wait. */
  readonly maxWaitingPerUser: number;
  /** A task that has waited so long is refused: its caller has little time left to use the result. */
  readonly maxWaitMs: number;
  /** What is too much, for callers: "Too many reports at once". */
  readonly refusal: string;
}

interface Waiter {
  start(): void;
  /** Patient tasks count towards no limit here. Their maker bounds them. */
  readonly isPatient: boolean;
}

interface Share {
  running: number;
  readonly waiting: Waiter[];
}

export class FairQueue {
  readonly #options: FairQueueOptions;
  /** By user, the next turn first; only users with something running or waiting. */
  readonly #shares = new Map<string, Share>();
  #running = 0;
  #waiting = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /** Tasks that run now. */
  get running(): number {
    return this.#running;
  }

  /**
   * Runs a task of a user in its turn, and resolves to its result. A patient task is neither refused nor timed out: its maker bounds it.
   *
   * Throws `overloaded` when the user's part of the queue, or the queue itself, is full, or when the turn did not come in time.
   */
  async run<T>(userId: string, task: () => Promise<T>, { isPatient = false } = {}): Promise<T> {
    const share = this.#shareOf(userId);
    if (this.#mayRun(share)) {
      share.running += 1;
      this.#running += 1;
    } else await this.#turn(userId, share, isPatient);
    try {
      return await task();
    } finally {
      share.running -= 1;
      this.#running -= 1;
      this.#drop(userId, share);
      this.#startNext();
    }
  }

  #shareOf(userId: string): Share {
    let share = this.#shares.get(userId);
    if (share === undefined) this.#shares.set(userId, (share = { running: 0, waiting: [] }));
    return share;
  }

  #mayRun(share: Share): boolean {
    return this.#running < this.#options.maxRunning && share.running < this.#options.maxRunningPerUser;
  }

  /** Resolves once the task counts as running. */
  #turn(userId: string, share: Share, isPatient: boolean): Promise<void> {
    const { maxWaiting, maxWaitingPerUser, maxWaitMs } = this.#options;
    if (!isPatient && (share.waiting.length >= maxWaitingPerUser || this.#waiting >= maxWaiting)) {
      this.#drop(userId, share);
      throw this.#refused();
    }
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const waiter: Waiter = {
        isPatient,
        start: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      share.waiting.push(waiter);
      if (isPatient) return;
      this.#waiting += 1;
      timer = setTimeout(() => {
        share.waiting.splice(share.waiting.indexOf(waiter), 1);
        this.#waiting -= 1;
        this.#drop(userId, share);
        reject(this.#refused());
      }, maxWaitMs);
    });
  }

  // The user that gets a turn goes to the end of the line.
  #startNext(): void {
    if (this.#running >= this.#options.maxRunning) return;
    for (const [userId, share] of this.#shares) {
      if (share.waiting.length === 0 || !this.#mayRun(share)) continue;
      const waiter = share.waiting.shift();
      if (waiter === undefined) continue;
      if (!waiter.isPatient) this.#waiting -= 1;
      share.running += 1;
      this.#running += 1;
      this.#shares.delete(userId);
      this.#shares.set(userId, share);
      waiter.start();
      return;
    }
  }

  #drop(userId: string, share: Share): void {
    if (share.running === 0 && share.waiting.length === 0) this.#shares.delete(userId);
  }

  #refused(): ServiceError {
    const message = `${this.#options.refusal}; try again in a moment.`;
    return new ServiceError('overloaded', message, { retryAfterMs: RETRY_AFTER_MS });
  }
}
