// Health: looks at the stores in the background, so that a probe gets its answer from memory even while they hang.
import type { Pool } from 'pg';
import type { DatabaseResource } from '../persistence/database-shortage.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { PeriodicTask } from '../lifecycle/periodic-task.ts';
import { problemOf } from './health-problems.ts';

const CHECK_INTERVAL_MS = 1000;
/** A database that takes longer for a `select` is as good as away. */
const DATABASE_TIMEOUT_MS = 2000;
/** A worker that has not been able to ask for work for so long takes no part in delivering (rule 68). */
const MAX_CLAIM_AGE_MS = 30_000;
/** Receivers refuse signatures that are five minutes off; a minute leaves room for theirs. */
const MAX_CLOCK_SKEW_MS = 60_000;
/** Also true of a standby. */
const READ_ONLY = `select current_setting('transaction_read_only') = 'on' as "isReadOnly"`;
const DEPENDENCY_INTERVAL_MS = 30_000;
const DEPENDENCY_TIMEOUT_MS = 2000;

/** `read_only` is of the database alone: in a failover, or closed by an operator, it takes no publish and no outcome. */
export type CheckState = 'ok' | 'degraded' | 'read_only' | 'down';

export interface HealthReport {
  /** Whether this process wants traffic; false while it starts, stops, or lacks what it cannot work without. */
  readonly ready: boolean;
  /** By name, as in `{ database: 'ok', redis: 'degraded' }`. */
  readonly checks: Readonly<Record<string, CheckState>>;
  /** A sentence for each check that is not `ok`. */
  readonly problems: Readonly<Record<string, string>>;
}

/** What probes get. It answers from memory: a probe must get its answer while every store hangs. */
export interface HealthView {
  report(): HealthReport;
  /** The state of the services this one reports beside its own; for operators, not for probes. */
  dependencies(): Readonly<Record<string, CheckState>>;
}

export interface HealthOptions {
  readonly pool: Pool;
  /** Null: there is no Redis to speak of. */
  readonly isRedisAway: (() => boolean) | null;
  /** Milliseconds since work was last asked for; null: this process sends nothing. */
  readonly claimAgeMs: (() => number) | null;
  readonly clockSkewMs: () => number;
  /** Whether requests to receivers lack sockets, descriptors, memory or ports of this machine. */
  readonly isShort: () => boolean;
  /** Whether deliveries wait for a key of secrets that this process was not given. */
  readonly lacksKey: () => boolean;
  /** What PostgreSQL refuses statements for want of; null: nothing. */
  readonly databaseLacks: () => DatabaseResource | null;
  readonly dependencies: Readonly<Record<string, string | null>>;
}

export class Health implements LongRunning, HealthView {
  readonly name = 'health';
  readonly #options: HealthOptions;
  readonly #tasks = [
    new PeriodicTask(
      () => this.#checkDatabase(),
      CHECK_INTERVAL_MS,
      () => undefined,
    ),
    new PeriodicTask(
      () => this.#checkDependencies(),
      DEPENDENCY_INTERVAL_MS,
      () => undefined,
    ),
  ];
  readonly #dependencies = new Map<string, CheckState>();
  #database: CheckState = 'down';
  #isServing = false;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#checkDatabase();
    await Promise.all(this.#tasks.map((task) => task.start()));
  }

  async drain(): Promise<void> {
    this.#isServing = false;
    await Promise.all(this.#tasks.map((task) => task.drain()));
  }

  /** Between the moment everything has started and the moment it begins to stop. */
  serve(isServing: boolean): void {
    this.#isServing = isServing;
  }

  report(): HealthReport {
    const { isRedisAway, claimAgeMs, clockSkewMs, isShort, lacksKey, databaseLacks } = this.#options;
    const lacking = databaseLacks();
    // It serves reads, and refuses with a reason what it cannot write: no reason to be sent away.
    const database = this.#database === 'ok' && lacking !== null ? 'degraded' : this.#database;
    const checks: Record<string, CheckState> = { database };
    if (isRedisAway !== null) checks['redis'] = isRedisAway() ? 'degraded' : 'ok';
    if (claimAgeMs !== null) checks['worker'] = claimAgeMs() < MAX_CLAIM_AGE_MS ? 'ok' : 'down';
    checks['clock'] = Math.abs(clockSkewMs()) < MAX_CLOCK_SKEW_MS ? 'ok' : 'down';
    // It delivers later, and takes what is published: no reason to be sent away.
    checks['sockets'] = isShort() ? 'degraded' : 'ok';
    checks['secret_keys'] = lacksKey() ? 'degraded' : 'ok';
    const problems: Record<string, string> = {};
    for (const [name, state] of Object.entries(checks)) if (state !== 'ok') problems[name] = problemOf(name, state, lacking);
    const ready = this.#isServing && this.#database === 'ok' && !Object.values(checks).includes('down');
    return { ready, checks, problems };
  }

  dependencies(): Readonly<Record<string, CheckState>> {
    return Object.fromEntries(this.#dependencies);
  }

  async #checkDatabase(): Promise<void> {
    const late = new Promise<CheckState>((resolve) => setTimeout(resolve, DATABASE_TIMEOUT_MS, 'down').unref());
    const answered = this.#options.pool.query<{ isReadOnly: boolean }>(READ_ONLY).then(
      ({ rows }): CheckState => (rows[0]?.isReadOnly === true ? 'read_only' : 'ok'),
      (): CheckState => 'down',
    );
    this.#database = await Promise.race([answered, late]);
  }

  async #checkDependencies(): Promise<void> {
    await Promise.all(
      Object.entries(this.#options.dependencies).map(async ([name, url]) => {
        if (url !== null) this.#dependencies.set(name, await reach(url));
      }),
    );
  }
}

// Any response shows that the service is there; what it says is its own matter.
async function reach(url: string): Promise<CheckState> {
  try {
    // Most processes have no dependencies to ask after.
    const { request } = await import('undici');
    const answer = await request(url, { headersTimeout: DEPENDENCY_TIMEOUT_MS, bodyTimeout: DEPENDENCY_TIMEOUT_MS });
    await answer.body.dump();
    return answer.statusCode < 500 ? 'ok' : 'degraded';
  } catch {
    return 'down';
  }
}
