// Lets a call through only with a token whose role the RPC's policy names. An RPC without a policy cannot be called.
import { getOption, hasOption } from '@bufbuild/protobuf';
import type { DescMethod } from '@bufbuild/protobuf';
import type { Interceptor } from '@connectrpc/connect';
import { policy, RoleSchema } from '../../../../gen/homechef/webhook/v1/policy_pb.ts';
import { ServiceError } from '../../../domain/errors.ts';
import type { Principal } from '../../../security/tokens.ts';
import { addressOf, setPrincipal } from '../call-context.ts';

/**
 * Takes the Authorization header as it came, null when there was none, and the caller's address. Throws `unauthenticated`, and
 * `rate_limited` for an address that came with too many bad tokens.
 */
export type VerifyToken = (authorization: string | null, address: string) => Promise<Principal>;

/**
 * Called by probes and tools, which hold no token. They show only whether the service serves, and (where reflection is switched
 * on) what `/openapi.json` shows to every caller as well.
 */
const PUBLIC_SERVICES = new Set([
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
]);

export function authenticate(verifyToken: VerifyToken): Interceptor {
  const rolesOf = new Map<DescMethod, ReadonlySet<string>>();
  return (next) => async (request) => {
    if (PUBLIC_SERVICES.has(request.service.typeName)) return next(request);
    const principal = await verifyToken(request.header.get('authorization'), addressOf(request.contextValues));
    setPrincipal(request.contextValues, principal);
    let roles = rolesOf.get(request.method);
    if (roles === undefined) rolesOf.set(request.method, (roles = allowedRoles(request.method)));
    if (!roles.has(principal.role)) {
      throw new ServiceError('role_not_allowed', `The role "${principal.role}" may not call ${request.method.name}.`);
    }
    return next(request);
  };
}

/** The names of the roles, as tokens spell them. */
export function allowedRoles(method: DescMethod): ReadonlySet<string> {
  if (!hasOption(method, policy)) return new Set();
  return new Set(getOption(method, policy).roles.map((role) => RoleSchema.value[role]?.localName.toLowerCase() ?? ''));
}
