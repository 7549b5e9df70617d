// The connections for hand-written statements, and how every connection to PostgreSQL is bounded.
import { Client, type ClientConfig, Pool } from 'pg';
import type { DatabaseConfig } from '../config.ts';
import { APPLICATION_NAME } from './queries/horizon.ts';
import { lackingResource } from './database-shortage.ts';
import { readCertificates } from './server-certificates.ts';
import { sessionOptions, sessionSettings, type ServerSettings } from './session.ts';

/** Connections of one process for short statements by hand: the live feed, cancelling, housekeeping. Whatever can be slow has its own. */
const MAX_CONNECTIONS = 6;
/** ms. A server that takes no connection in this time is down: callers get `unavailable` instead of a long wait. */
const CONNECT_TIMEOUT_MS = 5000;
/** ms. The server ends a statement that runs longer. No statement here needs a tenth of it. */
const STATEMENT_TIMEOUT_MS = 10_000;
/** ms. After this the client gives up a statement that the server did not end (a stopped backend). */
const QUERY_TIMEOUT_MS = 12_000;
/** ms. The server ends a transaction that is idle for longer: its process hangs, and its locks delay others. */
const IDLE_IN_TRANSACTION_MS = 30_000;
const IDLE_TIMEOUT_MS = 30_000;

/** Gets what is wrong with the database rather than with a statement: idle connections that broke, and each refusal for want of something. */
export type OnPoolError = (error: Error) => void;

export interface ConnectionLimits {
  readonly statementTimeoutMs: number;
  readonly queryTimeoutMs: number;
}

/**
 * What the sessions of a pool are for, and so which settings they have. A pooler gives out its own sessions, to which the start-up
 * parameters of ours mean nothing: it knows each kind as a database of its own, `short` as DB_NAME itself.
 */
export type SessionKind = 'short' | 'report' | 'batch' | 'outcome';

const defaultLimits: ConnectionLimits = { statementTimeoutMs: STATEMENT_TIMEOUT_MS, queryTimeoutMs: QUERY_TIMEOUT_MS };

/** A pool for hand-written statements. Without a listener, idle connections that broke would end the process. */
export function createPool(
  database: DatabaseConfig,
  onError: OnPoolError,
  options: {
    readonly max?: number;
    readonly limits?: ConnectionLimits;
    readonly settings?: ServerSettings;
    readonly kind?: SessionKind;
  } = {},
): Pool {
  const pool = new Pool({
    ...connectionOptions(database),
    database: databaseNameOf(database, options.kind),
    ...boundedOptions(onError, options.limits, options.settings),
    max: options.max ?? MAX_CONNECTIONS,
  });
  pool.on('error', onError);
  // What a pooler says of its sessions at the start is not of the one that a statement gets.
  if (database.direct === undefined) replaceReadOnly(pool);
  return pool;
}

/** What to connect to for sessions of this kind: behind a pooler, a database of its own for each. */
export function databaseNameOf({ name, direct }: DatabaseConfig, kind: SessionKind = 'short'): string {
  return direct === undefined || kind === 'short' ? name : `${name}_${kind}`;
}

/** PostgreSQL itself, for what belongs to one session: locks, and what ends with it. */
export function directly(database: DatabaseConfig): DatabaseConfig {
  const { direct, ...same } = database;
  return { ...same, ...direct };
}

/**
 * Closes read-only sessions when they come back to the pool: opened while their database was closed to writes, or on a server that became a
 * standby, they would stay so.
 */
export function replaceReadOnly(pool: Pool): void {
  pool.on('release', (_error, client) => {
    if (client instanceof BoundedClient && client.isReadOnly) void client.end();
  });
}

/** How to reach the database; directly() for connections that are more than the way of their statements. */
export function connectionOptions(database: DatabaseConfig): ClientConfig {
  return {
    host: database.host,
    port: database.port,
    user: database.user,
    password: database.password,
    database: database.name,
    ssl:
      database.ssl === 'disable'
        ? false
        : { rejectUnauthorized: database.ssl === 'verify-full', ...readCertificates(database.certificates) },
    application_name: APPLICATION_NAME,
    options: sessionOptions(),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  };
}

/** What bounds the statements of a pool, and what its sessions set beside. */
export function boundedOptions(onError: OnPoolError, limits: ConnectionLimits = defaultLimits, settings: ServerSettings = {}) {
  return {
    onShortage: onError,
    options: sessionOptions(boundedSettings(limits, settings)),
    query_timeout: limits.queryTimeoutMs,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    Client: BoundedClient,
  };
}

/** All that the sessions of a pool set. */
export function boundedSettings(limits: ConnectionLimits = defaultLimits, settings: ServerSettings = {}): ServerSettings {
  return sessionSettings({
    ...settings,
    statement_timeout: String(limits.statementTimeoutMs),
    idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_MS),
  });
}

/** The server reports these when a session begins, and when they change. */
const READ_ONLY_REPORTS = new Set(['default_transaction_read_only', 'in_hot_standby']);

/**
 * A connection that is cut when a query times out on this side. pg itself reports the timeout and keeps the connection, with
 * the query still on it: a rollback would queue behind it, and the pool would hand the connection out again.
 */
class BoundedClient extends Client {
  readonly #readOnlyReasons = new Set<string>();

  constructor(options: ClientConfig & { readonly onShortage?: OnPoolError } = {}) {
    super(options);
    // While a caller uses the connection the pool does not listen, and an error without a listener ends the process. The caller gets the
    // error from its queries; idle connections report to the pool.
    this.on('error', () => {});
    this.connection.on('parameterStatus', ({ parameterName: name, parameterValue: value }: ParameterStatus) => {
      if (!READ_ONLY_REPORTS.has(name)) return;
      if (value === 'on') this.#readOnlyReasons.add(name);
      else this.#readOnlyReasons.delete(name);
    });
    // Here, and not where a statement fails: each of them would have to think of it.
    this.connection.on('errorMessage', (refusal: Error) => {
      if (lackingResource(refusal) !== null) options.onShortage?.(refusal);
    });
    const query: (...parameters: unknown[]) => unknown = this.query.bind(this);
    const cut = (error: unknown): void => {
      if (error instanceof Error && error.message === 'Query read timeout') this.connection.stream.destroy();
    };
    const bounded = (...parameters: unknown[]) => {
      const result = query(...parameters);
      // Queries with a callback are the pool's own, which drops the connection by itself.
      if (result instanceof Promise) result.catch(cut);
      return result;
    };
    this.query = bounded as Client['query'];
  }

  /** Whether nothing can be written in this session, as far as the server has said. */
  get isReadOnly(): boolean {
    return this.#readOnlyReasons.size > 0;
  }
}

interface ParameterStatus {
  readonly parameterName: string;
  readonly parameterValue: string;
}
