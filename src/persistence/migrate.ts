// Brings the schema up to date at start, once, however many processes start together.
import { Migrator } from '@mikro-orm/migrations';
import { MikroORM } from '@mikro-orm/postgresql';
import { Client, escapeIdentifier } from 'pg';
import { Migration20261123000000_initial } from '../../migrations/Migration20261123000000_initial.ts';
import { Migration20261127000000_untried_deliveries_have_not_changed } from '../../migrations/Migration20261127000000_untried_deliveries_have_not_changed.ts';
import { Migration20261127120000_first_tries_enter_no_index } from '../../migrations/Migration20261127120000_first_tries_enter_no_index.ts';
import { Migration20261128050000_add_response_oddity } from '../../migrations/Migration20261128050000_add_response_oddity.ts';
import { Migration20261128060000_read_the_view_in_parallel_plans } from '../../migrations/Migration20261128060000_read_the_view_in_parallel_plans.ts';
import { Migration20261128070000_know_whom_redis_serves } from '../../migrations/Migration20261128070000_know_whom_redis_serves.ts';
import { Migration20261128080000_move_rows_in_the_way_of_a_partition } from '../../migrations/Migration20261128080000_move_rows_in_the_way_of_a_partition.ts';
import { Migration20261128110000_find_due_deliveries_by_time } from '../../migrations/Migration20261128110000_find_due_deliveries_by_time.ts';
import { Migration20261128120000_know_who_holds_what } from '../../migrations/Migration20261128120000_know_who_holds_what.ts';
import { Migration20261128121000_sum_up_the_log } from '../../migrations/Migration20261128121000_sum_up_the_log.ts';
import type { DatabaseConfig } from '../config.ts';
import { entities } from './orm.ts';
import { connectionRefusal, databaseRefusal, requireUsableDatabase } from './database-refusal.ts';
import { connectionOptions } from './pool.ts';
import { sessionOptions } from './session.ts';
import { sqlState } from './store-errors.ts';

/** In the order they run. Named here, not found by a glob: the list is part of the program. */
const migrations = [
  { name: 'Migration20261123000000_initial', class: Migration20261123000000_initial },
  {
    name: 'Migration20261127000000_untried_deliveries_have_not_changed',
    class: Migration20261127000000_untried_deliveries_have_not_changed,
  },
  { name: 'Migration20261127120000_first_tries_enter_no_index', class: Migration20261127120000_first_tries_enter_no_index },
  { name: 'Migration20261128050000_add_response_oddity', class: Migration20261128050000_add_response_oddity },
  {
    name: 'Migration20261128060000_read_the_view_in_parallel_plans',
    class: Migration20261128060000_read_the_view_in_parallel_plans,
  },
  { name: 'Migration20261128070000_know_whom_redis_serves', class: Migration20261128070000_know_whom_redis_serves },
  {
    name: 'Migration20261128080000_move_rows_in_the_way_of_a_partition',
    class: Migration20261128080000_move_rows_in_the_way_of_a_partition,
  },
  { name: 'Migration20261128110000_find_due_deliveries_by_time', class: Migration20261128110000_find_due_deliveries_by_time },
  { name: 'Migration20261128120000_know_who_holds_what', class: Migration20261128120000_know_who_holds_what },
  { name: 'Migration20261128121000_sum_up_the_log', class: Migration20261128121000_sum_up_the_log },
];

/** Any number, the same in every process: it is the name of the lock. */
const MIGRATION_LOCK = 7_241_963_001;

const UNDEFINED_DATABASE = '3D000';
/** What PostgreSQL answers when the locale of the cluster goes with another encoding than UTF-8 (invalid_parameter_value). */
const ENCODING_OF_LOCALE = '22023';
const DUPLICATE_DATABASE = new Set(['42P04', '23505']);

/**
 * Runs the migrations that are missing, after creating the database if it does not exist. Processes that start together wait for
 * each other on a session lock; if the one that holds it dies, the server frees it. Returns the names of the migrations run.
 * @throws ConfigError, in one sentence, when the service cannot work in this database
 */
export async function migrate(database: DatabaseConfig): Promise<string[]> {
  try {
    const lock = await connect(database);
    try {
      await requireUsableDatabase(lock, database);
      await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
      return await runMissing(database);
    } finally {
      // Ending the session frees the lock.
      await lock.end();
    }
  } catch (error) {
    throw databaseRefusal(error, database);
  }
}

async function runMissing(database: DatabaseConfig): Promise<string[]> {
  const orm = await openForMigration(database);
  try {
    const done = await orm.migrator.up();
    return done.map((migration) => migration.name);
  } finally {
    await orm.close(true);
  }
}

/** Its `migrator` goes up and down. Without the limits of the service's own connections: an index on a large table may take its time. */
export function openForMigration(database: DatabaseConfig) {
  return MikroORM.init({
    entities,
    extensions: [Migrator],
    host: database.host,
    port: database.port,
    user: database.user,
    password: database.password,
    dbName: database.name,
    pool: { min: 0, max: 1 },
    driverOptions: {
      ssl: connectionOptions(database).ssl,
      application_name: 'homechef-webhooks migration',
      options: sessionOptions(),
      keepAlive: true,
    },
    migrations: { migrationsList: migrations, snapshot: false, disableForeignKeys: false },
    debug: false,
    logger: () => {},
  });
}

async function connect(database: DatabaseConfig): Promise<Client> {
  try {
    return await open(database);
  } catch (error) {
    if (sqlState(error) !== UNDEFINED_DATABASE) throw error;
  }
  await createDatabase(database);
  return open(database);
}

// From the bare template, as the other one may be in another encoding.
async function createDatabase(database: DatabaseConfig): Promise<void> {
  const client = await open({ ...database, name: 'postgres' });
  const create = `create database ${escapeIdentifier(database.name)} template template0 encoding 'UTF8'`;
  try {
    await client.query(create).catch((error: unknown) => {
      if (sqlState(error) !== ENCODING_OF_LOCALE) throw error;
      return client.query(`${create} locale 'C'`);
    });
  } catch (error) {
    // Another process was faster.
    if (!DUPLICATE_DATABASE.has(sqlState(error) ?? '')) throw error;
  } finally {
    await client.end();
  }
}

async function open(database: DatabaseConfig): Promise<Client> {
  const client = new Client(connectionOptions(database));
  // A connection that breaks while idle must not end the process; whoever uses it next gets the error.
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    throw connectionRefusal(error, database);
  }
  return client;
}
