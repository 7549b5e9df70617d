// Makes the database ready at start: creates it where it is missing, checks it, and migrates it once, however many processes start
// together.
import { readdir } from 'node:fs/promises';
import { Client, escapeIdentifier } from 'pg';
import type { DatabaseConfig } from '../config.ts';
import { connectionRefusal, databaseRefusal, requireUsableDatabase } from './database-refusal.ts';
import { connectionOptions, directly } from './pool.ts';
import { createSessionFunction } from './pooled-sessions.ts';
import { sqlState } from './store-errors.ts';

/** One file a migration, named like it. */
const MIGRATIONS = new URL('../../migrations/', import.meta.url);

/** Any number, the same in every process: it is the name of the lock. */
const MIGRATION_LOCK = 7_241_963_001;

const UNDEFINED_DATABASE = '3D000';
/** SQLSTATE invalid_parameter_value: the locale of the cluster goes with another encoding than UTF-8. */
const ENCODING_OF_LOCALE = '22023';
const DUPLICATE_DATABASE = new Set(['42P04', '23505']);

/**
 * Runs the migrations that are missing, after creating the database if it does not exist. Processes that start together wait for
 * each other on a session lock; if the one that holds it dies, the server frees it. Returns the names of the migrations run; `onStart`
 * gets each name before its migration runs, which may take minutes on a large log.
 * @throws ConfigError, in one sentence, when the service cannot work in this database
 */
export async function prepareDatabase(
  behindPooler: DatabaseConfig,
  onStart: (migration: string) => void = () => {},
): Promise<string[]> {
  const database = directly(behindPooler);
  try {
    const lock = await connect(database);
    try {
      await requireUsableDatabase(lock, database);
      await lock.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
      if (behindPooler.direct !== undefined) await createSessionFunction(lock);
      if (await isUpToDate(lock)) return [];
      const { runMissing } = await import('./migrate.ts');
      return await runMissing(database, onStart);
    } finally {
      // Ending the session frees the lock.
      await lock.end();
    }
  } catch (error) {
    throw databaseRefusal(error, database);
  }
}

// A query by hand: a start has nothing to migrate but once in a release, and loading the migrations takes half a second and 15 MB.
async function isUpToDate(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ exists: boolean }>(`select to_regclass('mikro_orm_migrations') is not null as exists`);
  if (rows[0]?.exists !== true) return false;
  const done = await client.query<{ name: string }>('select name from mikro_orm_migrations');
  const names = new Set(done.rows.map(({ name }) => name));
  const files = await readdir(MIGRATIONS);
  return files.every((file) => names.has(file.replace(/\.ts$/, '')));
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
  // A connection that breaks while idle must not end the process. Its next query gets the error.
  client.on('error', () => {});
  try {
    await client.connect();
  } catch (error) {
    throw connectionRefusal(error, database);
  }
  return client;
}
