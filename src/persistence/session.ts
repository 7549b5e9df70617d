// What every session with PostgreSQL sets for itself, whatever was set for the role, the database or the server before.

/** Settings of the server, by name. */
export type ServerSettings = Readonly<Record<string, string>>;

/**
 * All settings that our statements, or the driver that reads their results, rely on. Not `default_transaction_read_only`: with it an
 * operator closes a server for a failover. Not `lc_messages`, which only a superuser sets: errors are recognised by their codes.
 */
const everySession: ServerSettings = {
  array_nulls: 'on',
  bytea_output: 'hex',
  client_encoding: 'UTF8',
  client_min_messages: 'warning',
  DateStyle: 'ISO',
  default_transaction_deferrable: 'off',
  default_transaction_isolation: 'read committed',
  exit_on_error: 'off',
  extra_float_digits: '1',
  gin_fuzzy_search_limit: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  IntervalStyle: 'postgres',
  // Compiling a plan over forty partitions takes up to a second, and saves a few milliseconds: measured on the delivery log.
  jit: 'off',
  lock_timeout: '0',
  row_security: 'on',
  search_path: 'public',
  standard_conforming_strings: 'on',
  statement_timeout: '0',
  TimeZone: 'UTC',
  transform_null_equals: 'off',
};

/**
 * For the batch statements: they look rows up by key from an array, so a nested loop that prunes to one partition is right however
 * many rows the planner expects, and one plan serves every batch.
 */
export const batchSettings: ServerSettings = {
  enable_hashjoin: 'off',
  // A claim goes along the index of what is scheduled: by another one, and a sort, it would read all that a webhook ever had that day.
  enable_incremental_sort: 'off',
  enable_indexscan: 'on',
  enable_mergejoin: 'off',
  enable_nestloop: 'on',
  enable_partition_pruning: 'on',
  enable_seqscan: 'off',
  plan_cache_mode: 'force_generic_plan',
};

/**
 * How long outcomes wait for a row that another session has locked, in milliseconds, before the others are written without it. Longer
 * than a change of partitions waits with every statement behind it.
 */
const OUTCOME_LOCK_TIMEOUT_MS = 400;

/**
 * For outcomes. On disk like publishes: after a crash of the server, a delivered row that is pending again would be sent again, and no
 * lease would show it.
 */
export const outcomeSettings: ServerSettings = {
  ...batchSettings,
  synchronous_commit: 'on',
  lock_timeout: String(OUTCOME_LOCK_TIMEOUT_MS),
};

/**
 * For sessions whose end means the death of a process: the server notices within some eleven seconds that the machine is gone, instead of
 * after two hours.
 */
export const KEEPALIVE = '-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3';

/**
 * The start-up parameter `options`, with the settings of every session and these. They come with the connection: no round trip, and
 * they are stronger than those of role, database and server.
 */
export function sessionOptions(settings: ServerSettings = {}): string {
  return Object.entries(sessionSettings(settings))
    .map(([name, value]) => `-c ${name}=${value.replaceAll(/[\\ ]/g, String.raw`\$&`)}`)
    .join(' ');
}

/** What every session sets, with these. */
export function sessionSettings(settings: ServerSettings = {}): ServerSettings {
  return { ...everySession, ...settings };
}

/** Which settings are reported otherwise than they are meant to be: a pooler has dropped them on the way. */
export function lostSettings(reported: ServerSettings, meant: ServerSettings = everySession): string[] {
  return Object.keys(meant).filter((name) => {
    const value = reported[name];
    // DateStyle says the order of day and month as well.
    return value !== meant[name] && value?.split(',')[0] !== meant[name];
  });
}
