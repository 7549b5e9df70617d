// The one clock: this machine's, corrected by how far the database's is from it.
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';

/** ms. A clock that is stepped is noticed within this time. Receivers refuse signatures that are five minutes off. */
const MEASURE_INTERVAL_MS = 5000;
/** ms. Between measurements at start, until the first succeeds. */
const FIRST_RETRY_MS = 200;
/** ms. A measurement with a longer round trip says little about the clock, and is repeated. */
const MAX_ROUND_TRIP_MS = 500;

export interface DatabaseClockOptions {
  readonly pool: Pool;
  /** How far this clock is ahead of the database's, each time it is measured. */
  readonly onSkew: (skewMs: number) => void;
  readonly onError: (error: unknown) => void;
}

export class DatabaseClock implements LongRunning {
  readonly name = 'clock';
  readonly #options: DatabaseClockOptions;
  readonly #task: PeriodicTask;
  #skewMs = 0;
  /** Where the wall clock should be, by the monotonic one: a step between two measurements shows as a difference. */
  #wallMinusMonotonicMs = Date.now() - performance.now();

  constructor(options: DatabaseClockOptions) {
    this.#options = options;
    this.#task = new PeriodicTask(
      async () => {
        await this.#tryMeasure();
      },
      MEASURE_INTERVAL_MS,
      options.onError,
    );
  }

  /** Milliseconds since 1970 by the database's clock; carried on by the monotonic clock, so a step of the wall clock does not show. */
  now(): number {
    return this.#wallMinusMonotonicMs + performance.now() - this.#skewMs;
  }

  async start(): Promise<void> {
    for (let tries = 0; tries < 3 && !(await this.#tryMeasure()); tries += 1) await pause(FIRST_RETRY_MS);
    await this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  async #tryMeasure(): Promise<boolean> {
    try {
      const sentAt = performance.now();
      const result = await this.#options.pool.query<{ ms: number }>(
        'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
      );
      const roundTripMs = performance.now() - sentAt;
      const databaseMs = result.rows[0]?.ms;
      if (databaseMs === undefined || roundTripMs > MAX_ROUND_TRIP_MS) return false;
      const wallMs = Date.now();
      this.#wallMinusMonotonicMs = wallMs - performance.now();
      this.#skewMs = wallMs - roundTripMs / 2 - databaseMs;
      this.#options.onSkew(this.#skewMs);
      return true;
    } catch (error) {
      this.#options.onError(error);
      return false;
    }
  }
}
