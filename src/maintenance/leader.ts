// Leadership: of all processes, one holds an advisory lock in PostgreSQL and does what only one may do.
import { Client, type ClientConfig } from 'pg';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { pause } from '../lifecycle/pause.ts';
import { KEEPALIVE } from '../persistence/session.ts';

/** How often a follower tries to take over, and a leader makes sure that its connection is alive. */
const CHECK_INTERVAL_MS = 2000;
/** A check that takes longer counts as a lost connection: a stopped backend would never answer. */
const CHECK_TIMEOUT_MS = 5000;
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
  readonly #connection: ClientConfig;
  readonly #onError: (error: unknown) => void;
  readonly #stopping = new AbortController();
  #client: Client | undefined;
  /** Whether this session has the lock, as far as is known. */
  #hasLock = false;
  /** By the monotonic clock, when the last check was sent that the server answered. */
  #confirmedAt = Number.NEGATIVE_INFINITY;
  /** By the monotonic clock, when a session ended that this process had not ended. */
  #sessionLostAt = Number.NEGATIVE_INFINITY;
  #loop: Promise<void> = Promise.resolve();

  constructor(connection: ClientConfig, onError: (error: unknown) => void) {
    this.#connection = { ...connection, query_timeout: CHECK_TIMEOUT_MS, options: `${connection.options} ${KEEPALIVE}` };
    this.#onError = onError;
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
  async start(): Promise<void> {
    await this.#check();
    this.#loop = this.#run();
  }

  async drain(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    await this.#lose();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await pause(CHECK_INTERVAL_MS, signal);
      if (signal.aborted) return;
      await this.#check();
    }
  }

  async #check(): Promise<void> {
    try {
      const client = this.#client ?? (await this.#connect());
      const sentAt = performance.now();
      if (this.#hasLock) await client.query('select 1');
      else {
        const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [LOCK_KEY]);
        this.#hasLock = this.#client === client && rows[0]?.locked === true;
      }
      this.#confirmedAt = sentAt;
    } catch (error) {
      this.#onError(error);
      this.#sessionLostAt = performance.now();
      await this.#lose();
    }
  }

  async #connect(): Promise<Client> {
    const client = new Client(this.#connection);
    // Only of the present connection: the end of an old one says nothing about its successor.
    const ended = (): void => {
      if (this.#client !== client) return;
      this.#sessionLostAt = performance.now();
      void this.#lose();
    };
    client.on('error', ended);
    client.on('end', ended);
    this.#client = client;
    await client.connect();
    // Not a setting of the connection: a server before PostgreSQL 14 does not know it, and would refuse the connection for it.
    await client.query(
      `select set_config(name, '${IDLE_LIMIT_MS}', false) from pg_settings where name = 'idle_session_timeout'`,
    );
    return client;
  }

  async #lose(): Promise<void> {
    this.#hasLock = false;
    const client = this.#client;
    this.#client = undefined;
    // A connection that is stuck does not end in good order either.
    await Promise.race([client?.end().catch(() => undefined), pause(1000)]);
  }
}
