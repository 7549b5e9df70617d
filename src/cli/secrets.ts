// `secrets <file>`: what a service in production needs to be secret, made once and kept, for machines without a store of secrets.
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parseArgs, parseEnv } from 'node:util';
import { readEnv, toConfig } from '../config.ts';
import { loadOrCreateKeys } from '../security/secret-box.ts';
import { type Command, onlyArgument } from './usage.ts';

const USAGE = `Usage: secrets <file>

Writes JWT_SECRET and WEBHOOK_SECRET_KEYS for node --env-file. What the environment or the file has is kept; the rest is made.`;

/** Longer than the 32 bytes that HS256 asks for. */
const JWT_SECRET_BYTES = 48;

export const secrets: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { positionals } = parseArgs({ args, allowPositionals: true });
  writeSecrets(onlyArgument(positionals, '<file>'));
}

/**
 * Writes JWT_SECRET and WEBHOOK_SECRET_KEYS for `node --env-file`. What the environment names wins, then what the file has; keys that this machine made
 * for development stay in use, as stored secrets are sealed under them. The file is its owner's alone.
 */
function writeSecrets(file: string): void {
  const env = readEnv();
  const kept = read(file);
  const given = (name: string): string => env[name]?.trim() || kept[name] || '';
  const { secretKeys, dataDir } = toConfig({
    WEBHOOK_SECRET_KEYS: given('WEBHOOK_SECRET_KEYS'),
    DATA_DIR: env['DATA_DIR'],
  });
  const made = {
    JWT_SECRET: given('JWT_SECRET') || randomBytes(JWT_SECRET_BYTES).toString('base64'),
    WEBHOOK_SECRET_KEYS: loadOrCreateKeys({ secretKeys, dataDir }).join(','),
  };
  const lines = Object.entries(made).map(([name, value]) => `${name}='${value}'\n`);
  // By a name of its own first: one that is half written must not be taken for the whole.
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, lines.join(''), { mode: 0o600, flush: true });
  renameSync(draft, file);
}

function read(file: string): NodeJS.Dict<string> {
  try {
    return parseEnv(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw error;
  }
}
