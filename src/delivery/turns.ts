// Whose turn it is: users in turn, and the webhooks of each user in turn.
import type { Lane } from './lane.ts';
import { Queue } from './queue.ts';
import type { Turn } from './user-lanes.ts';

export class Turns {
  /** Users with lanes that may start something, each once. */
  readonly #waiting = new Queue<Turn>();

  /** Puts a lane behind the others of its user; each lane stands here once at most. */
  add(turn: Turn, lane: Lane): void {
    turn.lanes.push(lane);
    if (turn.lanes.length === 1) this.#waiting.push(turn);
  }

  /**
   * Takes out the lane whose turn it is; undefined when there is none. Users who have so many in flight keep waiting. They are few, for
   * each of them holds places already.
   */
  next(maxInFlight: number): Lane | undefined {
    if (maxInFlight <= 0) return undefined;
    for (let left = this.#waiting.length; left > 0; left -= 1) {
      const turn = this.#waiting.shift();
      if (turn === undefined) return undefined;
      const lane = turn.user.inFlight < maxInFlight ? turn.lanes.shift() : undefined;
      if (turn.lanes.length > 0) this.#waiting.push(turn);
      if (lane !== undefined) return lane;
    }
    return undefined;
  }
}
