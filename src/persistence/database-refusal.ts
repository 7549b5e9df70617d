// Why the service cannot start on a database: one sentence each, which says what to do.
import type { Client } from 'pg';
import { ConfigError, type DatabaseConfig } from '../config.ts';
import { lostSettings, sessionSettings, type ServerSettings } from './session.ts';
import { sqlState } from './store-errors.ts';

/** The oldest PostgreSQL that has every setting of session.ts. */
const MIN_VERSION = 14;
/** A statement of ours ends after ten seconds at the latest; a transaction has a few. */
const MIN_TRANSACTION_TIMEOUT_MS = 30_000;

const INSUFFICIENT_PRIVILEGE = '42501';
const UNDEFINED_DATABASE = '3D000';
const UNDEFINED_SETTING = '42704';
const PROTOCOL_VIOLATION = '08P01';

interface Found {
  readonly encoding: string;
  readonly isStandby: boolean;
  readonly isReadOnly: boolean;
  /** Null before PostgreSQL 17. */
  readonly transactionTimeoutMs: number | null;
  readonly role: string;
  readonly mayUse: boolean;
  readonly mayCreate: boolean;
  /** The role that owns tables of ours which this role may not change. */
  readonly otherOwner: string | null;
  /** Where our tables are, when they are not where this session looks for them. */
  readonly otherSchema: string | null;
  readonly settings: ServerSettings;
}

/** Throws a ConfigError when the service cannot work in this database. */
export async function requireUsableDatabase(client: Client, database: DatabaseConfig): Promise<void> {
  const { rows } = await client.query<Found>(statement, [Object.keys(sessionSettings())]);
  const found = rows[0];
  if (found === undefined) throw new Error('PostgreSQL says nothing about itself');
  const sentence = problemOf(found, database);
  if (sentence !== null) throw new ConfigError(sentence);
}

function problemOf(found: Found, { host, port, name }: DatabaseConfig): string | null {
  const { role } = found;
  const lost = lostSettings(found.settings);
  if (found.encoding !== 'UTF8')
    return `the database "${name}" is in ${found.encoding}, which cannot hold every text: make another (create database "…" encoding 'UTF8' template template0) and name it in DB_NAME`;
  if (found.isStandby)
    return `PostgreSQL at ${host}:${port} is a standby, which takes no writes: set DB_HOST to the primary, or promote it`;
  if (found.isReadOnly)
    return `sessions of the role "${role}" in the database "${name}" are read-only: reset default_transaction_read_only of the role, the database or the server`;
  if (lost.length > 0)
    return `settings of the session do not reach PostgreSQL at ${host}:${port} (${lost.join(', ')}): a pooler in between drops the start-up parameter "options": name PostgreSQL itself in DB_DIRECT_HOST, see docs/operations.md`;
  if (
    found.transactionTimeoutMs !== null &&
    found.transactionTimeoutMs > 0 &&
    found.transactionTimeoutMs < MIN_TRANSACTION_TIMEOUT_MS
  )
    return `PostgreSQL ends transactions of the role "${role}" after ${found.transactionTimeoutMs} ms: set transaction_timeout of the role, the database or the server to 0`;
  if (found.otherSchema !== null)
    return `the tables are in the schema "${found.otherSchema}" of the database "${name}", and the service uses the schema public: move them (alter table … set schema public)`;
  if (!found.mayUse || !found.mayCreate)
    return `the role "${role}" may not make tables in the database "${name}": grant usage, create on schema public to "${role}"`;
  if (found.otherOwner !== null)
    return `the role "${role}" may not change the tables of "${found.otherOwner}" in the database "${name}": grant "${found.otherOwner}" to "${role}"`;
  return null;
}

const ours = `('webhook_endpoints', 'idempotency_keys', 'events', 'deliveries', 'attempts', 'adoption', 'mikro_orm_migrations')`;

const statement = `
select current_setting('server_encoding') as encoding,
  pg_is_in_recovery() as "isStandby",
  current_setting('transaction_read_only') = 'on' as "isReadOnly",
  (select setting::integer from pg_settings where name = 'transaction_timeout') as "transactionTimeoutMs",
  current_user::text as role,
  coalesce(has_schema_privilege(to_regnamespace('public'), 'usage'), false) as "mayUse",
  coalesce(has_schema_privilege(to_regnamespace('public'), 'create'), false) as "mayCreate",
  (select pg_get_userbyid(c.relowner) from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = 'public' and c.relname in ${ours} and not pg_has_role(c.relowner, 'usage') limit 1) as "otherOwner",
  nullif((select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relname in ${ours} group by n.nspname having count(*) > 5 order by n.nspname = 'public' desc limit 1), 'public') as "otherSchema",
  (select json_object_agg(name, setting) from pg_settings where name = any ($1::text[])) as settings`;

/** The sentence for an error of connecting, of making the database, or of migrating it; the error itself where that says it best. */
export function databaseRefusal(error: unknown, database: DatabaseConfig): unknown {
  if (error instanceof ConfigError) return error;
  const { user, name } = database;
  const message = messageOf(error);
  const create = `create database "${name}" owner "${user}" encoding 'UTF8' template template0`;
  switch (sqlState(error)) {
    case INSUFFICIENT_PRIVILEGE:
      if (message.includes('create database'))
        return new ConfigError(
          `the database "${name}" does not exist, and the role "${user}" may not make it: ${create}; or alter role "${user}" createdb`,
        );
      return error;
    case UNDEFINED_DATABASE:
      return new ConfigError(`the database "${name}" does not exist, nor one called postgres to make it from: ${create}`);
    default:
      return error;
  }
}

/** The sentence for a connection that failed. */
export function connectionRefusal(error: unknown, { host, port, user, name }: DatabaseConfig): unknown {
  const message = messageOf(error);
  switch (sqlState(error)) {
    // It may be made, see databaseRefusal().
    case UNDEFINED_DATABASE:
      return error;
    case UNDEFINED_SETTING:
      return new ConfigError(`PostgreSQL at ${host}:${port} is too old: ${MIN_VERSION} or newer is needed (${message})`);
    case INSUFFICIENT_PRIVILEGE:
      return new ConfigError(
        `the role "${user}" may not use the database "${name}": grant connect on database "${name}" to "${user}"`,
      );
    case PROTOCOL_VIOLATION:
      return new ConfigError(
        `a pooler at ${host}:${port} refuses what a session sets (${message}): name PostgreSQL itself in DB_HOST, or in DB_DIRECT_HOST beside a PgBouncer of 1.21 or newer, see docs/operations.md`,
      );
    default:
      return new ConfigError(`PostgreSQL at ${host}:${port} cannot be used: ${message}`);
  }
}

// Node tries the addresses of a name one by one, and keeps the error of each.
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
