// Whose things a caller may see and make.
import { ServiceError } from '../domain/errors.ts';
import type { Owner } from '../persistence/entities/owner.ts';
import type { Principal } from '../security/tokens.ts';

/** Developers see what is their own; services and admins see everything. */
export function ownerOf(principal: Principal): Owner {
  return seesEveryone(principal) ? { everyone: true } : { userId: principal.userId };
}

/** For lists: services and admins may narrow them to one user; a developer's are narrow already. */
export function listedOwner(principal: Principal, requestedUserId: string): Owner {
  return requestedUserId !== '' && seesEveryone(principal) ? { userId: requestedUserId } : ownerOf(principal);
}

/** Whose a new webhook is. */
export function newOwnerId(principal: Principal, requestedUserId: string): string {
  if (requestedUserId === '' || requestedUserId === principal.userId) return principal.userId;
  if (seesEveryone(principal)) return requestedUserId;
  throw new ServiceError(
    'permission_denied',
    'role_not_allowed',
    'Developers create webhooks of their own: leave user_id out.',
  );
}

function seesEveryone(principal: Principal): boolean {
  return principal.role === 'admin' || principal.role === 'service';
}
