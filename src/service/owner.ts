// Whose things a caller may see and make.
import { ServiceError } from '../domain/errors.ts';
import type { Owner } from '../persistence/entities/owner.ts';
import type { Principal } from '../security/tokens.ts';

/** Developers see what is their own; services and admins see everything. */
export function ownerOf(principal: Principal): Owner {
  return seesEveryone(principal) ? { everyone: true } : { userId: principal.userId };
}

/** For lists: services and admins may narrow them to one user; a developer's are narrow already. Throws `role_not_allowed`. */
export function listedOwner(principal: Principal, requestedUserId: string): Owner {
  if (requestedUserId === '') return ownerOf(principal);
  if (requestedUserId !== principal.userId && !seesEveryone(principal)) {
    throw notYours('developers see what is their own; leave it out');
  }
  return { userId: requestedUserId };
}

/** Whose a new webhook is. */
export function newOwnerId(principal: Principal, requestedUserId: string): string {
  if (requestedUserId === '' || requestedUserId === principal.userId) return principal.userId;
  if (seesEveryone(principal)) return requestedUserId;
  throw notYours('developers create webhooks of their own; leave it out');
}

function notYours(message: string): ServiceError {
  const violations = [{ field: 'user_id', message }];
  return new ServiceError('role_not_allowed', `user_id: ${message}`, { violations });
}

function seesEveryone(principal: Principal): boolean {
  return principal.role === 'admin' || principal.role === 'service';
}
