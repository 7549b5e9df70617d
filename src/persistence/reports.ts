// Reports: reads whose cost grows with the log. They have connections of their own, and each user a share of them.
import type { Pool } from 'pg';
import type { DatabaseConfig } from '../config.ts';
import { ServiceError } from '../domain/errors.ts';
import { FairQueue } from './fair-queue.ts';
import { createPool, type ConnectionLimits, type OnPoolError } from './pool.ts';
import { sqlState } from './store-errors.ts';

/** Reports at once, each on a connection of its own: more would take the cores of the server from deliveries. */
const MAX_REPORTS = 6;
/** One user's reports at once: a page and its total, or two tabs. */
const MAX_REPORTS_PER_USER = 2;
/** A console page asks for three to five reports; four tabs of it wait here, and no script's thousand. */
const MAX_WAITING_PER_USER = 16;
/** At 50 ms a report and six at once, the last of them has its turn within two seconds. */
const MAX_WAITING = 256;
/** A third of what a call may take: later the result would come too late. */
const MAX_WAIT_MS = 10_000;
/** The server ends a report that takes longer: statistics of a million deliveries take 0.6 to 0.9 s. */
const STATEMENT_TIMEOUT_MS = 5000;
const QUERY_TIMEOUT_MS = 6000;
export const REPORT_LIMITS: ConnectionLimits = { statementTimeoutMs: STATEMENT_TIMEOUT_MS, queryTimeoutMs: QUERY_TIMEOUT_MS };
/** SQLSTATE query_canceled: the statement timeout, as nothing else here cancels statements. */
const QUERY_CANCELED = '57014';

/** What may run reports: the pool is theirs alone. */
export class Reports {
  readonly #pool: Pool;
  readonly #queue: FairQueue;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#queue = new FairQueue({
      maxRunning: MAX_REPORTS,
      maxRunningPerUser: MAX_REPORTS_PER_USER,
      maxWaiting: MAX_WAITING,
      maxWaitingPerUser: MAX_WAITING_PER_USER,
      maxWaitMs: MAX_WAIT_MS,
      refusal: 'Too many reports are being read at once',
    });
  }

  /**
   * Runs a report for a user in its turn. A patient one waits however long the line is; its maker bounds how many there are.
   *
   * Throws `overloaded` when too many wait, and `deadline_exceeded` when the report takes longer than its statement may.
   */
  run<T>(userId: string, read: (pool: Pool) => Promise<T>, options?: { readonly isPatient: boolean }): Promise<T> {
    return this.#queue.run(userId, () => this.#read(read), options);
  }

  async #read<T>(read: (pool: Pool) => Promise<T>): Promise<T> {
    try {
      return await read(this.#pool);
    } catch (error) {
      if (sqlState(error) === QUERY_CANCELED) throw tooLarge(error);
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}

/** Reports on a pool of their own. `onError` gets idle connections that broke. */
export function createReports(database: DatabaseConfig, onError: OnPoolError): Reports {
  return new Reports(createPool(database, onError, { kind: 'report', max: MAX_REPORTS, limits: REPORT_LIMITS }));
}

function tooLarge(cause: unknown): ServiceError {
  const message = `The report took longer than ${STATEMENT_TIMEOUT_MS / 1000} s: ask for a shorter time, or for one webhook.`;
  return new ServiceError('deadline_exceeded', message, { cause });
}
