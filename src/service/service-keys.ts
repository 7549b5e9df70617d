// The key pairs of the service for Ed25519 signatures: the first is made when a webhook asks for one, the others by an admin.
import { ServiceError } from '../domain/errors.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import {
  insertFirstServiceKey,
  listServiceKeys as list,
  lockServiceKeys,
  replaceServiceKey,
  type ServiceKeyRow,
} from '../persistence/queries/service-keys.ts';
import { newServiceKey } from '../security/service-key.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import type { Once } from './idempotent-call.ts';
import { ownerOf } from './owner.ts';

/** Time for receivers that keep a public key in their settings to be given the new one, in hours. */
const USUAL_OVERLAP_HOURS = 168;

/** Makes the first key where there is none. */
export async function ensureServiceKey({ pool, secretBox }: Pick<ManagementContext, 'pool' | 'secretBox'>): Promise<void> {
  if ((await list(pool)).length > 0) return;
  await insertFirstServiceKey(pool, newServiceKey(secretBox, Date.now()));
}

/** Those that sign, newest first. */
export function listServiceKeys({ pool }: Pick<ManagementContext, 'pool'>): Promise<ServiceKeyRow[]> {
  return list(pool);
}

/**
 * Makes a new key. Rejects with `rotation_running` while an overlap is under way: requests would carry a signature for each rotation.
 * @param overlapHours for how long the key from before goes on signing; 0 takes every earlier one out of use, as for one that leaked
 */
export async function rotateServiceKey(
  { orm, secretBox, log }: Pick<ManagementContext, 'orm' | 'secretBox' | 'log'>,
  principal: Principal,
  overlapHours: number = USUAL_OVERLAP_HOURS,
  once: Once<readonly ServiceKeyRow[]> | null = null,
): Promise<readonly ServiceKeyRow[]> {
  const key = newServiceKey(secretBox, Date.now());
  const keys = await entityManagerOf(orm, ownerOf(principal)).transactional(async (transaction) => {
    await once?.take(transaction);
    const before = await lockServiceKeys(transaction);
    if (overlapHours > 0) refuseWhileRotating(before);
    const after = await replaceServiceKey(transaction, key, overlapHours);
    await once?.keep(transaction, after);
    return after;
  });
  log.info(
    { key_id: key.id, overlap_hours: overlapHours, user: principal.userId },
    'the service has a new key for Ed25519 signatures',
  );
  return keys;
}

function refuseWhileRotating(signing: readonly ServiceKeyRow[]): void {
  const ending = signing.find(({ signsUntil }) => signsUntil !== null);
  if (ending === undefined) return;
  throw new ServiceError(
    'rotation_running',
    `${ending.id} signs until ${ending.signsUntil?.toISOString()}: wait until then, or rotate with overlap_hours 0, which takes every earlier key out of use at once.`,
  );
}
