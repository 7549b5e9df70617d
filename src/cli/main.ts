#!/usr/bin/env node
// The command line for people who run or use the service: `token` so far.
import { parseArgs } from 'node:util';
import { ConfigError, readEnv, toConfig } from '../config.ts';
import { callerRoles, mintToken } from '../security/tokens.ts';

const USAGE = `Usage:
  token --user <id> [--role developer|service|admin]   Print a token signed with JWT_SECRET, good for JWT_EXPIRATION seconds
`;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

try {
  const [command, ...args] = process.argv.slice(2);
  if (command !== 'token') throw new UsageError(USAGE);
  await token(args);
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

// parseArgs throws a TypeError that names the argument it does not know.
function isExpected(error: unknown): error is Error {
  return error instanceof UsageError || error instanceof ConfigError || error instanceof TypeError;
}
