// reencrypt: the last step of changing WEBHOOK_SECRET_KEYS, after which the old keys can go.
import { parseArgs } from 'node:util';
import { ConfigError, readEnv, toConfig } from '../config.ts';
import { reencryptSecrets } from '../maintenance/secret-keys.ts';
import { createPool } from '../persistence/pool.ts';
import { loadOrCreateKeys, SecretBox } from '../security/secret-box.ts';
import type { Command } from './usage.ts';

const USAGE = `Usage: reencrypt

Seals stored secrets under the newest key of WEBHOOK_SECRET_KEYS. It ends with 0 once the old keys can go, with 1 until then.`;

export const reencrypt: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  parseArgs({ args, options: {} });
  const config = toConfig(readEnv());
  if (config.database === null)
    throw new ConfigError('DB_HOST must be set: secrets are re-encrypted in the database of a running service');
  const pool = createPool(config.database, () => {}, { max: 1 });
  try {
    const box = new SecretBox(loadOrCreateKeys(config));
    const { resealed, unreadable, left, serviceKeysLeft } = await reencryptSecrets(pool, box, (looked) =>
      console.error(`${looked} webhooks looked at …`),
    );
    console.log(`${resealed} webhooks sealed under the newest key; ${left} left under older ones.`);
    for (const id of unreadable)
      console.error(`${id}: no key of WEBHOOK_SECRET_KEYS opens it; its owner must rotate the secret`);
    for (const id of serviceKeysLeft)
      console.error(
        `${id}: no key of WEBHOOK_SECRET_KEYS opens this service key; an admin must replace it: rotate-service-key --overlap-hours 0`,
      );
    if (left > unreadable.length)
      console.error('Some process still seals under an older key: restart it with the new keys, then run this again.');
    if (left > 0 || serviceKeysLeft.length > 0) process.exitCode = 1;
  } finally {
    await pool.end();
  }
}
