// `secrets <file>`: what compose starts the service with.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toConfig } from '../../src/config.ts';
import { loadOrCreateKeys } from '../../src/security/secret-box.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'webhook-secrets-'));
  file = join(directory, 'secrets.env');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** As compose does it: variables that are not given are empty. */
function write(env: Record<string, string> = {}): NodeJS.Dict<string> {
  const { stdout, stderr, status } = spawnSync(process.execPath, [main, 'secrets', file], {
    encoding: 'utf8',
    env: { DATA_DIR: directory, JWT_SECRET: '', WEBHOOK_SECRET_KEYS: '', ...env },
  });
  expect({ stdout, stderr, status }).toEqual({ stdout: '', stderr: '', status: 0 });
  return parseEnv(readFileSync(file, 'utf8'));
}

test('a service in production starts with what was made, which its owner alone can read and nothing prints', () => {
  const made = write();
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const config = toConfig({ ENVIRONMENT: 'production', DB_HOST: 'postgres', ...made });
  expect(config.tokens.secret).toBe(made['JWT_SECRET']);
  expect(config.secretKeys).toHaveLength(1);
  const read = `console.log(JSON.stringify([process.env.JWT_SECRET, process.env.WEBHOOK_SECRET_KEYS]))`;
  const { stdout } = spawnSync(process.execPath, [`--env-file=${file}`, '-e', read], { encoding: 'utf8', env: {} });
  expect(JSON.parse(stdout)).toEqual([made['JWT_SECRET'], made['WEBHOOK_SECRET_KEYS']]);
});

test('what was made once stays, and two machines make different ones', () => {
  const made = write();
  expect(write()).toEqual(made);
  rmSync(directory, { recursive: true });
  directory = mkdtempSync(join(tmpdir(), 'webhook-secrets-'));
  file = join(directory, 'secrets.env');
  expect(write()).not.toEqual(made);
});

test('what an operator names is used, and stays without being named again', () => {
  const keys = 'k2:MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=';
  write();
  expect(write({ WEBHOOK_SECRET_KEYS: keys })).toMatchObject({ WEBHOOK_SECRET_KEYS: keys });
  expect(write()).toMatchObject({ WEBHOOK_SECRET_KEYS: keys });
});

test('keys that this volume has from development stay in use: stored secrets are sealed under them', () => {
  const keys = loadOrCreateKeys({ secretKeys: [], dataDir: directory });
  expect(write()).toMatchObject({ WEBHOOK_SECRET_KEYS: keys.join(',') });
});
