// Leadership: of all processes, one holds an advisory lock in PostgreSQL and does what only one may do.
import type { Client, ClientConfig } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { KeptSession } from '../persistence/kept-session.ts';

/** How often a follower tries to take over, and a leader makes sure that its connection is alive. */
const CHECK_INTERVAL_MS = 2000;
/**
 * The server ends a leader's session that has sent nothing for so long, in milliseconds: a frozen process answers keepalives, as its kernel
 * does that. Several checks may be late before.
 */
const IDLE_LIMIT_MS = 10_000;
/**
 * Leadership holds for so long after a check was sent, in milliseconds: the server has counted its silence since then at the earliest, so
 * this ends before the server gives the lock to another process. A process that was frozen finds it over when it goes on.
 */
const BELIEF_MS = 8000;
/** Any number, as long as nothing else in this database locks by it. */
const LOCK_KEY = 0x686f6d65;

/**
 * The lock belongs to the session, so it ends with the connection: a leader that dies is replaced as soon as the server notices, and one that
 * is frozen within IDLE_LIMIT_MS and the next check of another process.
 * A statement that was sent before may still run when another process leads: every job must be harmless when two processes do it at once.
 */
export class Leader implements LongRunning {
  readonly name = 'leader';
  readonly #session: KeptSession;
  /** Whether the session has the lock, as far as is known. */
  #hasLock = false;
  /** By the monotonic clock, when the last check was sent that the server answered. */
  #confirmedAt = Number.NEGATIVE_INFINITY;
  /** By the monotonic clock, when a session ended that this process had not ended. */
  #sessionLostAt = Number.NEGATIVE_INFINITY;

  constructor(connection: ClientConfig, onError: (error: unknown) => void) {
    this.#session = new KeptSession({
      connection,
      intervalMs: CHECK_INTERVAL_MS,
      prepare: limitIdleTime,
      check: (client) => this.#check(client),
      onLost: () => {
        this.#sessionLostAt = performance.now();
        this.#hasLock = false;
      },
      onError,
    });
  }

  /** Asked by every job before each of its statements, so that one that was frozen sends none. */
  get isLeading(): boolean {
    return this.#hasLock && performance.now() < this.#confirmedAt + BELIEF_MS;
  }

  /** Since a session of this process was lost, in milliseconds: all sessions may have ended then. Infinite when none was. */
  get sessionLostAgoMs(): number {
    return performance.now() - this.#sessionLostAt;
  }

  /** Resolves after the first try, whatever came of it. */
  start(): Promise<void> {
    return this.#session.start();
  }

  async drain(): Promise<void> {
    await this.#session.drain();
    this.#hasLock = false;
  }

  async #check(client: Client): Promise<void> {
    const sentAt = performance.now();
    if (this.#hasLock) await client.query('select 1');
    else {
      const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [LOCK_KEY]);
      this.#hasLock = this.#session.isPresent(client) && rows[0]?.locked === true;
    }
    this.#confirmedAt = sentAt;
  }
}

// Not a setting of the connection: a server before PostgreSQL 14 does not know it, and would refuse the connection for it.
async function limitIdleTime(client: Client): Promise<void> {
  await client.query(`select set_config(name, '${IDLE_LIMIT_MS}', false) from pg_settings where name = 'idle_session_timeout'`);
}
