// The errors of the REST API: one body, and which reasons come with which status.
import { ServiceError, reasons } from '../../domain/errors.ts';
import type { ErrorCode, Reason } from '../../domain/errors.ts';
import { restErrorBody, restStatus } from '../rest/rest-error.ts';
import type { Schema } from './schema.ts';

/** The code each reason comes with; the compiler refuses a reason that is missing here. */
export const codes: Record<Reason, ErrorCode> = {
  field_invalid: 'invalid_argument',
  field_unknown: 'invalid_argument',
  body_malformed: 'invalid_argument',
  key_duplicate: 'invalid_argument',
  event_type_unknown: 'invalid_argument',
  endpoint_url_invalid: 'invalid_argument',
  endpoint_url_forbidden: 'invalid_argument',
  header_forbidden: 'invalid_argument',
  audience_missing: 'invalid_argument',
  broadcast_too_large: 'failed_precondition',
  payload_not_object: 'invalid_argument',
  payload_malformed: 'invalid_argument',
  payload_too_deep: 'invalid_argument',
  payload_too_large: 'resource_exhausted',
  message_too_large: 'invalid_argument',
  batch_too_large: 'invalid_argument',
  payload_number_not_representable: 'invalid_argument',
  payload_key_forbidden: 'invalid_argument',
  time_range_invalid: 'invalid_argument',
  page_token_invalid: 'invalid_argument',
  cursor_invalid: 'invalid_argument',
  token_missing: 'unauthenticated',
  token_invalid: 'unauthenticated',
  role_not_allowed: 'permission_denied',
  not_found: 'not_found',
  route_not_found: 'not_found',
  method_not_allowed: 'unimplemented',
  media_type_unsupported: 'invalid_argument',
  encoding_unsupported: 'unimplemented',
  upgrade_required: 'failed_precondition',
  idempotency_key_reused: 'already_exists',
  webhook_limit_reached: 'resource_exhausted',
  watcher_limit_reached: 'resource_exhausted',
  test_limit_reached: 'resource_exhausted',
  rotation_not_running: 'failed_precondition',
  webhook_inactive: 'failed_precondition',
  rate_limited: 'resource_exhausted',
  overloaded: 'resource_exhausted',
  store_unavailable: 'unavailable',
  keys_unavailable: 'unavailable',
  deadline_exceeded: 'deadline_exceeded',
  request_canceled: 'canceled',
  shutting_down: 'unavailable',
  unimplemented: 'unimplemented',
  internal: 'internal',
};

const statusNames: Record<number, string> = {
  400: 'The request is wrong.',
  401: 'The caller is not known.',
  403: 'The caller may not do this.',
  404: 'There is no such thing, or it is not the caller’s to see.',
  409: 'The request is right, but something that exists stands in its way.',
  413: 'The body is too large.',
  415: 'The body is of another media type.',
  429: 'Too much at once; try again after the seconds in `Retry-After`.',
  500: 'Something went wrong on our side.',
  503: 'Something that is needed is away; try again after the seconds in `Retry-After`.',
  504: 'The answer was not ready in time.',
};

const allReasons = Object.keys(reasons) as Reason[];

export function reasonsOf(status: number): Reason[] {
  return allReasons.filter((reason) => restStatus(errorOf(reason)) === status);
}

function errorOf(reason: Reason): ServiceError {
  return new ServiceError(codes[reason], reason, reasons[reason]);
}

export const errorSchema: Schema = {
  type: 'object',
  description: 'What every failed call answers.',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'reason', 'message', 'request_id', 'details'],
      properties: {
        code: {
          type: 'string',
          description: 'The gRPC status code, in lower case.',
          enum: [...new Set(Object.values(codes))].toSorted(),
        },
        reason: {
          type: 'string',
          description: `What to branch on: stable, never renamed or reused.\n\n${allReasons.map((reason) => `- \`${reason}\`: ${reasons[reason]}`).join('\n')}`,
          enum: allReasons,
        },
        message: { type: 'string', description: 'What went wrong, for people.' },
        request_id: { type: 'string', description: 'Also in the header `X-Request-Id` and in the service’s log.' },
        details: {
          type: 'array',
          description: 'The fields at fault.',
          items: {
            type: 'object',
            required: ['field', 'message'],
            properties: { field: { type: 'string' }, message: { type: 'string' } },
          },
        },
      },
    },
  },
};

/** The responses of all failures, by status: components that operations refer to. */
export function errorResponses(): Record<string, Schema> {
  return Object.fromEntries(
    Object.entries(statusNames).map(([status, description]) => {
      const why = reasonsOf(Number(status));
      const [example = 'internal'] = why;
      return [
        `Error${status}`,
        {
          description: `${description} Reasons: ${why.map((reason) => `\`${reason}\``).join(', ')}.`,
          headers: {
            'X-Request-Id': { $ref: '#/components/headers/X-Request-Id' },
            ...(status === '429' || status === '503' ? { 'Retry-After': { $ref: '#/components/headers/Retry-After' } } : {}),
            ...(status === '401' ? { 'WWW-Authenticate': { $ref: '#/components/headers/WWW-Authenticate' } } : {}),
          },
          content: {
            'application/json': {
              schema: { $ref: '#/components/schemas/ErrorReply' },
              example: restErrorBody(errorOf(example), '5b1f6c1e-3f0f-4a55-9c3a-0d8a5f4b7c21'),
            },
          },
        },
      ];
    }),
  );
}
