// The keys that secrets are sealed under: whether all are held, and how everything is brought under the newest.
import type { Pool } from 'pg';
import {
  countWebhooksByKey,
  listSealedWebhooks,
  replaceSealed,
  type SealedWebhook,
} from '../persistence/queries/sealed-webhooks.ts';
import { listServiceKeys, replaceSealedServiceKey } from '../persistence/queries/service-keys.ts';
import { SecretUnreadable, type Purpose, type SecretBox } from '../security/secret-box.ts';
import type { Logger } from '../telemetry/log.ts';

/** Rows in memory at once, some 300 kB of them. */
const PAGE_ROWS = 500;
/** A row that changes meanwhile is read again; a process that still seals under the old key would make this go on for ever. */
const MAX_PASSES = 5;

/** Says which webhooks cannot be sent to. Nothing else depends on it, so a service that lacks a key serves the others. */
export async function reportUnknownKeys(pool: Pool, box: SecretBox, log: Logger): Promise<void> {
  try {
    for (const [keyId, webhooks] of await countWebhooksByKey(pool)) {
      if (!box.holds(keyId)) {
        log.error({ key_id: keyId, webhooks }, 'webhooks hold secrets under a key that WEBHOOK_SECRET_KEYS lacks');
      }
    }
  } catch (error) {
    log.warn({ err: error }, 'the keys of stored secrets could not be checked');
  }
}

export interface Reencryption {
  /** Webhooks that were sealed anew. */
  readonly resealed: number;
  /** Webhooks that hold something no key here opens; left as they are. */
  readonly unreadable: readonly string[];
  /** Webhooks that still hold something under an older key, the unreadable ones among them. */
  readonly left: number;
  /** Keys of the service that still are under an older key: none here opens them, or they were changed meanwhile. */
  readonly serviceKeysLeft: readonly string[];
}

/** Seals everything under the newest key; `onProgress` gets how many webhooks of this pass were looked at, once a page. Safe while the service runs, and to be run again: what is under that key is not touched. */
export async function reencryptSecrets(
  pool: Pool,
  box: SecretBox,
  onProgress: (looked: number) => void = () => {},
): Promise<Reencryption> {
  const unreadable = new Set<string>();
  let resealed = 0;
  let left = 0;
  for (let pass = 0; pass < MAX_PASSES; pass += 1) {
    left = 0;
    let looked = 0;
    for await (const read of everyWebhook(pool)) {
      looked += 1;
      if (looked % PAGE_ROWS === 0) onProgress(looked);
      if (!needsReseal(box, read)) continue;
      const sealed = reseal(box, read);
      if (sealed === null) unreadable.add(read.id);
      if (sealed !== null && (await replaceSealed(pool, read, sealed))) resealed += 1;
      else left += 1;
    }
    if (left === unreadable.size) break;
  }
  return { resealed, unreadable: [...unreadable], left, serviceKeysLeft: await reencryptServiceKeys(pool, box) };
}

/** Returns the ids of those that are left. */
async function reencryptServiceKeys(pool: Pool, box: SecretBox): Promise<string[]> {
  const left: string[] = [];
  for (const read of await listServiceKeys(pool)) {
    if (!box.needsReseal(read.sealedPrivateKey)) continue;
    const owner = { serviceKeyId: read.id };
    const sealed = unlessUnreadable(() =>
      box.seal('service_key', owner, box.open('service_key', owner, read.sealedPrivateKey)),
    );
    if (sealed === null || !(await replaceSealedServiceKey(pool, read, sealed))) left.push(read.id);
  }
  return left;
}

async function* everyWebhook(pool: Pool): AsyncIterable<SealedWebhook> {
  for (let afterId = ''; ;) {
    const page = await listSealedWebhooks(pool, afterId, PAGE_ROWS);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    afterId = last.id;
  }
}

function needsReseal(
  box: SecretBox,
  { secret, previousSecrets, customHeaders, clientKey, oauthSecret }: SealedWebhook,
): boolean {
  const sealed = [secret, ...previousSecrets.map((previous) => previous.sealed), customHeaders, clientKey, oauthSecret];
  return sealed.some((text) => text !== null && box.needsReseal(text));
}

function reseal(box: SecretBox, webhook: SealedWebhook): SealedWebhook | null {
  const owner = { userId: webhook.userId, webhookId: webhook.id };
  const again = (purpose: Purpose, text: string): string =>
    box.needsReseal(text) ? box.seal(purpose, owner, box.open(purpose, owner, text)) : text;
  return unlessUnreadable(() => ({
    ...webhook,
    secret: again('signing_secret', webhook.secret),
    previousSecrets: webhook.previousSecrets.map((previous) => ({
      ...previous,
      sealed: again('signing_secret', previous.sealed),
    })),
    customHeaders: webhook.customHeaders === null ? null : again('custom_headers', webhook.customHeaders),
    clientKey: webhook.clientKey === null ? null : again('client_key', webhook.clientKey),
    oauthSecret: webhook.oauthSecret === null ? null : again('oauth_secret', webhook.oauthSecret),
  }));
}

function unlessUnreadable<Result>(work: () => Result): Result | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof SecretUnreadable) return null;
    throw error;
  }
}
