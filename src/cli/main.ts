#!/usr/bin/env node
// The command line for people who run or use the service.
import { parseArgs } from 'node:util';
import { ConfigError, readEnv, toConfig } from '../config.ts';
import { callerRoles, mintToken } from '../security/tokens.ts';
import { type Command, UsageError } from './usage.ts';

const USAGE = `Usage:
  token --user <id> [--role developer|service|admin]   Print a token signed with JWT_SECRET, good for JWT_EXPIRATION seconds
  migrate                                              Bring the schema of the database at DB_HOST up to date
  reencrypt                                            Seal stored secrets under the newest key of WEBHOOK_SECRET_KEYS
  secrets <file>                                       Write JWT_SECRET and WEBHOOK_SECRET_KEYS for node --env-file, made where none are
  listen --forward <url>                               Your own events, POSTed to your machine as they happen
  watch                                                Deliveries as they happen, as a table
  trigger <event type>                                 Send a sample event to your webhooks
  retry <delivery id>                                  Try a delivery again now
  publish <event type> --to <user id>                  Publish an event, as a service

Each of the last five explains itself with --help.
`;

// Loaded when asked for: what one command needs, the others should not wait for.
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  listen: async () => (await import('./listen.ts')).listen,
  watch: async () => (await import('./watch.ts')).watch,
  trigger: async () => (await import('./trigger.ts')).trigger,
  retry: async () => (await import('./retry.ts')).retry,
  publish: async () => (await import('./publish.ts')).publish,
};

try {
  const [command, ...args] = process.argv.slice(2);
  if (command === 'token') await token(args);
  else if (command === 'migrate' && args.length === 0) await migrateDatabase();
  else if (command === 'reencrypt' && args.length === 0) await reencryptSecrets();
  else if (command === 'secrets' && args.length === 1) await makeSecrets(args[0] ?? '');
  else if (command !== undefined && Object.hasOwn(commands, command)) await runClient(command, args);
  else throw new UsageError(USAGE);
} catch (error) {
  if (!isExpected(error)) throw error;
  console.error(error.message);
  process.exitCode = error.name === 'ConnectError' ? 1 : 2;
}

async function runClient(name: string, args: string[]): Promise<void> {
  const command = await commands[name]?.();
  if (command === undefined) return;
  if (args.includes('--help')) console.log(command.usage);
  else await command.run(args);
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
  const { prepareDatabase } = await import('../persistence/prepare-database.ts');
  const run = await prepareDatabase(database);
  console.log(run.length === 0 ? 'The schema is up to date.' : `Migrated: ${run.join(', ')}.`);
}

async function reencryptSecrets(): Promise<void> {
  const { reencrypt } = await import('./reencrypt.ts');
  if (!(await reencrypt())) process.exitCode = 1;
}

async function makeSecrets(file: string): Promise<void> {
  const { writeSecrets } = await import('./secrets.ts');
  writeSecrets(file);
}

// parseArgs throws a TypeError that names the argument it does not know.
function isExpected(error: unknown): error is Error {
  if (error instanceof UsageError || error instanceof ConfigError || error instanceof TypeError) return true;
  // By name, so that its library is loaded only by the commands that call a service.
  return error instanceof Error && error.name === 'ConnectError';
}
