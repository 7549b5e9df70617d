// `migrate`: brings the schema up to date before the processes of a new version start.
import { parseArgs } from 'node:util';
import { ConfigError, readEnv, toConfig } from '../config.ts';
import type { Command } from './usage.ts';

const USAGE = `Usage: migrate

Brings the schema of the database at DB_HOST up to date. Processes of the version before go on working.`;

export const migrate: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  parseArgs({ args, options: {} });
  const { database } = toConfig(readEnv());
  if (database === null) throw new ConfigError('DB_HOST must be set: an embedded database is migrated when the service starts');
  const { prepareDatabase } = await import('../persistence/prepare-database.ts');
  // To stderr, since it is progress: what was done is one line on stdout.
  const migrations = await prepareDatabase(database, (name) => console.error(`Running ${name} …`));
  console.log(migrations.length === 0 ? 'The schema is up to date.' : `Migrated: ${migrations.join(', ')}.`);
}
