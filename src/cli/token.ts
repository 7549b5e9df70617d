// `token --user user123`: a token for trying things out, signed as the service expects it.
import { parseArgs } from 'node:util';
import { readEnv, toConfig } from '../config.ts';
import { callerRoles, mintToken } from '../security/tokens.ts';
import { type Command, UsageError } from './usage.ts';

const USAGE = `Usage: token --user <id> [--role ${callerRoles.join('|')}]

Prints a token signed with JWT_SECRET, good for JWT_EXPIRATION seconds.

  --user <id>      Whose token
  --role <role>    What its holder may do; developer when not given`;

export const token: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { user: { type: 'string' }, role: { type: 'string', default: 'developer' } } });
  if (values.user === undefined || values.user === '')
    throw new UsageError('--user is missing: name the user, as in --user user123');
  const role = callerRoles.find((name) => name === values.role);
  if (role === undefined) throw new UsageError(`--role: "${values.role}" is none of ${callerRoles.join(', ')}`);
  console.log(await mintToken(toConfig(readEnv()).tokens, { user: values.user, role }));
}
