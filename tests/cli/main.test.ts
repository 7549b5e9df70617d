// The command line, run as people run it.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { welcome } from '../../src/cli/welcome.ts';
import { toConfig } from '../../src/config.ts';
import { TokenVerifier } from '../../src/security/tokens.ts';
import { freePort } from '../fixtures/ports.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const run = (args: string[], env: Record<string, string> = {}) =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env: { PATH: process.env['PATH'], ...env } });

test('token mints what the service accepts, for the user and role asked for', async () => {
  const { stdout, status } = run(['token', '--user', 'user123', '--role', 'service'], { JWT_EXPIRATION: '60' });
  expect(status).toBe(0);
  const principal = await new TokenVerifier(toConfig({}).tokens).verify(`Bearer ${stdout.trim()}`);
  expect(principal).toMatchObject({ userId: 'user123', role: 'service' });
  expect(principal.expiresAtMs - Date.now()).toBeLessThanOrEqual(60_000);
});

const COMMANDS = [
  'token',
  'migrate',
  'reencrypt',
  'secrets',
  'listen',
  'watch',
  'trigger',
  'doctor',
  'explain',
  'filter',
  'history',
  'attempts',
  'retry',
  'cancel',
  'pause',
  'resume',
  'replay',
  'service-keys',
  'rotate-service-key',
  'event-types',
  'publish',
];

test.for([
  [['token'], 'field_invalid: --user is missing: name the user, as in --user user123'],
  [['token', '--user', 'u', '--role', 'king'], 'field_invalid: --role: "king" is none of developer, service, admin'],
  [['token', '--usr', 'u'], "field_unknown: Unknown option '--usr'"],
  [['migrate', 'now'], "field_invalid: Unexpected argument 'now'. This command does not take positional arguments"],
  [['secrets'], 'field_invalid: <file> is missing'],
  [['retry', 'a', 'b'], 'field_invalid: "b" is one argument too many: only <delivery id> is expected'],
  [
    ['listen', '--user', 'u', '--forward', 'http://x', '--secret', 'x'],
    'field_invalid: --secret: is not a secret of a webhook, which begins with whsec_',
  ],
  [
    ['listen', '--forward', 'ftp://x'],
    'field_invalid: --forward: "ftp://x" is not an http or https URL, as in http://localhost:3000/hook',
  ],
  [
    ['listen', '--filter', '$.total > 50', '--webhook', 'w', '--user', 'u'],
    'field_invalid: --filter: goes neither with --webhook nor with --every-attempt: a webhook has a filter of its own',
  ],
  [['watch', '--status', 'bogus'], 'field_invalid: --status: "bogus" is not pending, retrying, delivered, failed or cancelled'],
  [['retry', 'a'], 'token_missing: Give --token (or HOMECHEF_TOKEN), or in development --user.'],
  [
    ['replay', '--webhook', 'w', '--user', 'u', '--since', '2026-02-30T00:00:00Z'],
    'field_invalid: --since: "2026-02-30T00:00:00Z" is not a time, as in 2030-01-31T12:00:00Z',
  ],
  [['dance'], `unimplemented: There is no command "dance": it is one of ${COMMANDS.join(', ')}`],
] as const)(
  'a wrong argument is refused with one line that begins with the reason and says what is wrong and what is right: %j',
  ([args, line]) => {
    expect(run([...args])).toMatchObject({ stdout: '', stderr: `${line}\n`, status: 2 });
  },
);

test('a file that is not there and a server that does not answer are one line, without a stack', async () => {
  const unreadable = run(['publish', 'order.created', '--to', 'u', '--user', 's', '--data', '@/no/such']);
  expect(unreadable).toMatchObject({ stdout: '', status: 1 });
  expect(unreadable.stderr).toMatch(/^ENOENT: no such file or directory, open '\/no\/such'\n$/);
  const unreachable = run(['migrate'], { DB_HOST: '127.0.0.1', DB_PORT: String(await freePort()) });
  expect(unreachable).toMatchObject({ stdout: '', status: 2 });
  expect(unreachable.stderr).toMatch(/^[^\n]*ECONNREFUSED[^\n]*\n$/);
});

test.for(COMMANDS)('%s explains itself on standard output, with 0', (command) => {
  const help = run([command, '--help']);
  expect(help).toMatchObject({ stderr: '', status: 0, stdout: expect.stringMatching(`^Usage: ${command}`) });
  expect(run(['help', command])).toMatchObject({ stderr: '', status: 0, stdout: help.stdout });
});

test('help lists every command on standard output, with 0', () => {
  const all = run(['help']);
  expect(all).toMatchObject({ stderr: '', status: 0 });
  for (const command of COMMANDS) expect(all.stdout).toContain(`\n  ${command} `);
  expect(run(['--help'])).toMatchObject({ stderr: '', status: 0, stdout: all.stdout });
});

test.for([['--version'], ['listen', '--version']])('the version is printed on standard output, with 0: %j', (args) => {
  expect(run(args)).toMatchObject({ stderr: '', status: 0, stdout: `${toConfig({}).version}\n` });
});

test('without a command the commands are listed, as an error', () => {
  expect(run([])).toMatchObject({ stdout: '', status: 2, stderr: expect.stringMatching(/^Usage:/) });
});

test('the tokens that the start prints stand in one column', () => {
  const config = toConfig({ ENVIRONMENT: 'development' });
  const text = welcome(config, { http: 'http://0.0.0.0:1', grpc: '0.0.0.0:2' }, { developer: 'TOKEN', service: 'TOKEN' });
  const columns = text
    .split('\n')
    .filter((line) => line.endsWith(' TOKEN'))
    .map((line) => line.indexOf('TOKEN'));
  expect(columns).toHaveLength(2);
  expect(new Set(columns).size).toBe(1);
});

test('a variable that does not parse is named in one line', () => {
  const { stderr, status } = run(['token', '--user', 'u'], { JWT_EXPIRATION: 'soon' });
  expect(status).toBe(2);
  expect(stderr).toBe('JWT_EXPIRATION must be a whole number from 1 to 86400, not "soon"\n');
});
