// An error in REST's form: one shape of body, whatever failed.
import { WebhookSchema } from '../../../gen/homechef/webhook/v1/webhook_pb.ts';
import { WebhookChanged } from '../../service/webhook-etag.ts';
import { currentWebhook } from '../messages/webhook-message.ts';
import { messageToJson } from './json-output.ts';
import type { ErrorCode, Reason, ServiceError } from '../../domain/errors.ts';

// failed_precondition is 409 and not Google's 400: the request is right, the state of the thing is in its way.
const STATUSES: Record<ErrorCode, number> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  already_exists: 409,
  failed_precondition: 409,
  resource_exhausted: 429,
  deadline_exceeded: 504,
  unavailable: 503,
  unimplemented: 501,
  canceled: 499,
  internal: 500,
};

/** Where HTTP has a status for the very thing, and gRPC has not. */
const REASON_STATUSES: Partial<Record<Reason, number>> = {
  etag_mismatch: 412,
  payload_too_large: 413,
  message_too_large: 413,
  batch_too_large: 413,
  media_type_unsupported: 415,
  encoding_unsupported: 415,
  method_not_allowed: 405,
  upgrade_required: 426,
};

export function restStatus(error: ServiceError): number {
  return REASON_STATUSES[error.reason] ?? STATUSES[error.code];
}

export function restHeaders(error: ServiceError): Record<string, string> {
  const headers: Record<string, string> = {};
  if (error.code === 'unauthenticated') {
    headers['www-authenticate'] = error.reason === 'token_missing' ? 'Bearer' : 'Bearer error="invalid_token"';
  }
  if (error.retryAfterMs !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfterMs / 1000)));
  if (error instanceof WebhookChanged) headers['etag'] = `"${error.current.etag}"`;
  return headers;
}

export function restErrorBody(error: ServiceError, requestId: string): object {
  return {
    error: {
      code: error.code,
      reason: error.reason,
      message: error.message,
      request_id: requestId,
      details: error.violations.map(({ field, message }) => ({ field, message })),
      ...(error instanceof WebhookChanged
        ? { current: messageToJson(WebhookSchema, currentWebhook(error), 'GetWebhook') }
        : {}),
    },
  };
}
