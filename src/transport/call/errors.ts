// The one boundary where whatever was thrown becomes what a caller may see: a ServiceError inside, a ConnectError on the wire.
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { ServiceError } from '../../domain/errors.ts';
import type { ErrorCode, Reason } from '../../domain/errors.ts';
import { WebhookSchema } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { WebhookChanged } from '../../service/webhook-etag.ts';
import { currentWebhook } from '../messages/webhook-message.ts';
import { storeUnavailable } from '../../persistence/store-errors.ts';

/** Whose reasons they are, as google.rpc.ErrorInfo wants to know. */
export const ERROR_DOMAIN = 'webhook.homechef.com';
/** How long a caller should wait when this process stops: by then a balancer has found another one. */
const SHUTDOWN_RETRY_AFTER_MS = 1000;

const CODES: Record<ErrorCode, Code> = {
  invalid_argument: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  resource_exhausted: Code.ResourceExhausted,
  deadline_exceeded: Code.DeadlineExceeded,
  unavailable: Code.Unavailable,
  unimplemented: Code.Unimplemented,
  canceled: Code.Canceled,
  internal: Code.Internal,
};

/** What goes on the wire. Its cause is the ServiceError, whose own cause is what was really thrown. */
export function toConnectError(thrown: unknown, requestId: string): ConnectError {
  const error = toServiceError(thrown);
  return new ConnectError(error.message, CODES[error.code], undefined, wireDetails(error, requestId), error);
}

type OutgoingDetails = NonNullable<ConstructorParameters<typeof ConnectError>[3]>;

/** ErrorInfo always; BadRequest, RetryInfo and the thing as it is now where there is something to say. */
function wireDetails(error: ServiceError, requestId: string): OutgoingDetails {
  const metadata: Record<string, string> = requestId === '' ? {} : { request_id: requestId };
  const details: OutgoingDetails = [
    { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason: error.reason, domain: ERROR_DOMAIN, metadata }) },
  ];
  if (error.violations.length > 0) {
    const fieldViolations = error.violations.map(({ field, message }) => ({
      field,
      description: message,
      reason: error.reason,
    }));
    details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  if (error.retryAfterMs !== undefined) {
    details.push({ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay: durationFromMs(error.retryAfterMs) }) });
  }
  if (error instanceof WebhookChanged) {
    details.push({ desc: WebhookSchema, value: currentWebhook(error) });
  }
  return details;
}

/** The expected failure behind anything thrown; an unexpected one is `internal`, with constant text and the cause kept for logs. */
export function toServiceError(thrown: unknown): ServiceError {
  if (thrown instanceof ServiceError) return thrown;
  if (thrown instanceof ConnectError) return fromConnectError(thrown);
  if (isAbort(thrown)) return deadlineExceeded(thrown);
  if (isStoreFailure(thrown)) return storeUnavailable(thrown);
  return internal(thrown);
}

export function deadlineExceeded(cause?: unknown): ServiceError {
  return new ServiceError('deadline_exceeded', 'The deadline passed before the answer was ready.', {
    cause,
  });
}

export function shuttingDown(): ServiceError {
  return new ServiceError('shutting_down', 'This process is stopping; try another.', {
    retryAfterMs: SHUTDOWN_RETRY_AFTER_MS,
  });
}

// Connect's own errors come from its protocol layer. Its texts about the caller's bytes are kept; about us it says nothing.
function fromConnectError(error: ConnectError): ServiceError {
  if (error.cause instanceof ServiceError) return error.cause;
  const is = (reason: Reason, message = error.rawMessage) => new ServiceError(reason, message, { cause: error });
  switch (error.code) {
    case Code.InvalidArgument:
      return is('body_malformed');
    case Code.ResourceExhausted:
      return is('message_too_large', 'The message is larger than this service reads.');
    case Code.DeadlineExceeded:
      return deadlineExceeded(error);
    case Code.Canceled:
    case Code.Aborted:
      return is('request_canceled', 'The caller went away.');
    case Code.Unimplemented:
      return is('unimplemented');
    default:
      // The caller went away, with its stream or while an answer was being written to it.
      if (isBrokenWrite(error.cause) || STREAM_CLOSED.test(error.rawMessage))
        return is('request_canceled', 'The caller went away.');
      return internal(error);
  }
}

/** Connect's words for a stream that ended under a call, whatever code its connection ended with. */
const STREAM_CLOSED = /^http\/2 stream closed with error code /;

function isBrokenWrite(cause: unknown): boolean {
  return cause instanceof Error && (cause as { syscall?: unknown }).syscall === 'write';
}

function internal(cause: unknown): ServiceError {
  return new ServiceError('internal', 'Something went wrong on our side.', { cause });
}

function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError');
}

const STORE_CODES = new Set(
  'ECONNREFUSED ECONNRESET ECONNABORTED EPIPE ETIMEDOUT EHOSTUNREACH ENETUNREACH ENOTFOUND EAI_AGAIN 25006 40001 40P01 55P03'.split(
    ' ',
  ),
);
/** SQLSTATE classes for a server that cannot serve now: connection lost, resources exhausted, operator intervention, I/O error. */
const STORE_CLASSES = /^(08|53|57|58)[0-9A-Z]{3}$/;
/** What pg and ioredis say without giving a code. */
const STORE_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error|Connection is closed|Command timed out|Stream isn't writeable)/;

// MikroORM wraps what pg threw, and an AggregateError holds one error per address that was dialled: look through both.
function isStoreFailure(thrown: unknown, depth = 0): boolean {
  if (!(thrown instanceof Error) || depth > 4) return false;
  const code = (thrown as { code?: unknown }).code;
  if (typeof code === 'string' && (STORE_CODES.has(code) || STORE_CLASSES.test(code))) return true;
  if (STORE_MESSAGES.test(thrown.message) || thrown.name === 'MaxRetriesPerRequestError') return true;
  if (thrown instanceof AggregateError && thrown.errors.some((error) => isStoreFailure(error, depth + 1))) return true;
  return isStoreFailure(thrown.cause, depth + 1);
}
