// How much is waiting, measured by the leader now and then for operators to see.
import { inTransaction } from '../persistence/transaction.ts';
import type { Pool } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';

/** The statement reads the index of everything that is scheduled, 0.2 s for a million, so it is not asked at every scrape. */
const INTERVAL_MS = 10_000;
/** A measurement is not worth a delay: the next one shows the same. */
const STATEMENT_TIMEOUT_MS = 2000;

export interface BacklogOptions {
  readonly pool: Pool;
  readonly isLeading: () => boolean;
  readonly onError: (error: unknown) => void;
}

export class Backlog implements LongRunning {
  readonly name = 'backlog';
  readonly #options: BacklogOptions;
  readonly #task: PeriodicTask;
  /** NaN: not measured by this process. */
  #deliveries = Number.NaN;
  #oldestDueSeconds = Number.NaN;

  constructor(options: BacklogOptions) {
    this.#options = options;
    this.#task = new PeriodicTask(() => this.#measure(), INTERVAL_MS, options.onError);
  }

  /** Deliveries that are scheduled, due or not. What is sent straight from its commit is not among them. */
  get deliveries(): number {
    return this.#deliveries;
  }

  /** How long the most overdue of them has been due; 0 when none is. */
  get oldestDueSeconds(): number {
    return this.#oldestDueSeconds;
  }

  start(): Promise<void> {
    return this.#task.start();
  }

  drain(): Promise<void> {
    return this.#task.drain();
  }

  async #measure(): Promise<void> {
    if (!this.#options.isLeading()) {
      this.#deliveries = Number.NaN;
      this.#oldestDueSeconds = Number.NaN;
      return;
    }
    const { rows } = await inTransaction(this.#options.pool, 'begin read only', async (client) => {
      await client.query(`set local statement_timeout = ${STATEMENT_TIMEOUT_MS}`);
      return client.query<{ deliveries: string; oldest: string | null }>(MEASURE);
    });
    this.#deliveries = Number(rows[0]?.deliveries ?? 0);
    this.#oldestDueSeconds = Math.max(0, Number(rows[0]?.oldest ?? 0));
  }
}

const MEASURE = `
  select count(*) as deliveries, extract(epoch from now() - min(next_attempt_at)) as oldest
  from deliveries
  where next_attempt_at is not null`;
