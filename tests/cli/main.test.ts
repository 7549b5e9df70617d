// The command line, run as people run it.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { toConfig } from '../../src/config.ts';
import { TokenVerifier } from '../../src/security/tokens.ts';

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

test.for([[], ['token'], ['token', '--user', 'u', '--role', 'king'], ['token', '--usr', 'u'], ['dance']])(
  'arguments that mean nothing are refused with a line that says so: %j',
  (args) => {
    const { stdout, stderr, status } = run(args);
    expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    expect(stderr).toMatch(/Usage:|--usr/);
    expect(stderr).not.toContain('    at ');
  },
);

test('a variable that does not parse is named in one line', () => {
  const { stderr, status } = run(['token', '--user', 'u'], { JWT_EXPIRATION: 'soon' });
  expect(status).toBe(2);
  expect(stderr).toBe('JWT_EXPIRATION must be a whole number from 1 to 86400, not "soon"\n');
});
