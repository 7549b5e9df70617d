// Errors of the service as a reader can use them: what happened, which field, what to quote to support.
import { Code, ConnectError } from '@connectrpc/connect';
import { BadRequestSchema, ErrorInfoSchema, RequestInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';

export interface Failure {
  readonly title: string;
  readonly message: string;
  /** The stable reason, empty when the service could not be reached. */
  readonly reason: string;
  readonly requestId: string;
  /** By the field's path in snake_case. */
  readonly fields: ReadonlyMap<string, string>;
  /** Whether the same call may succeed later. */
  readonly temporary: boolean;
}

const TITLES: Partial<Record<Code, string>> = {
  [Code.InvalidArgument]: 'The service did not accept this',
  [Code.NotFound]: 'Not found',
  [Code.PermissionDenied]: 'Your role may not do this',
  [Code.Unauthenticated]: 'Your session has ended',
  [Code.ResourceExhausted]: 'Too much at once',
  [Code.FailedPrecondition]: 'Not possible right now',
  [Code.DeadlineExceeded]: 'The answer took too long',
  [Code.Unavailable]: 'The service is not available',
};

const TEMPORARY = new Set([Code.Unavailable, Code.DeadlineExceeded, Code.ResourceExhausted, Code.Unknown, Code.Internal]);

export function toFailure(error: unknown): Failure {
  const known = ConnectError.from(error);
  // fetch() reports an unreachable server as a TypeError, without a status.
  const unreachable = known.cause instanceof TypeError;
  const info = known.findDetails(ErrorInfoSchema)[0];
  const violations = known.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  return {
    title: unreachable ? 'The service cannot be reached' : (TITLES[known.code] ?? 'Something went wrong'),
    message: unreachable ? 'Check your connection. This page tries again when you ask it to.' : known.rawMessage,
    reason: info?.reason ?? '',
    requestId:
      known.findDetails(RequestInfoSchema)[0]?.requestId ||
      info?.metadata['request_id'] ||
      known.metadata.get('x-request-id') ||
      '',
    fields: new Map(violations.map((violation) => [violation.field, violation.description])),
    temporary: unreachable || TEMPORARY.has(known.code),
  };
}
