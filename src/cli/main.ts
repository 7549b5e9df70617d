#!/usr/bin/env node
// The command line for people who run or use the service.
import { parseArgs } from 'node:util';
import { ConfigError, readEnv, toConfig } from '../config.ts';
import { migrate } from '../persistence/migrate.ts';
import { callerRoles, mintToken } from '../security/tokens.ts';

const USAGE = `Usage:
  token --user <id> [--role developer|service|admin]   Print a token signed with JWT_SECRET, good for JWT_EXPIRATION seconds
  migrate                                              Bring the schema of the database at DB_HOST up to date
`;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

try {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'token') await token(args);
  else if (command === 'migrate' && args.length === 0) await migrateDatabase();
  else throw new UsageError(USAGE);
} catch (error) {
  if (!isExpected(error)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

async function token(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { user: { type: 'string' }, role: { type: 'string', default: 'developer' } } });
  const role = callerRoles.find((name) => name === values.role);
  if (values.user === undefined || values.user === '' || role === undefined) throw new UsageError(USAGE);
  console.log(await mintToken(toConfig(readEnv()).tokens, { user: values.user, role }));
}

async function migrateDatabase(): Promise<void> {
  const { database } = toConfig(readEnv());
  if (database === null) throw new ConfigError('DB_HOST must be set: an embedded database is migrated when the service starts');
  const run = await migrate(database);
  console.log(run.length === 0 ? 'The schema is up to date.' : `Migrated: ${run.join(', ')}.`);
}

// parseArgs throws a TypeError that names the argument it does not know.
function isExpected(error: unknown): error is Error {
  return error instanceof UsageError || error instanceof ConfigError || error instanceof TypeError;
}
