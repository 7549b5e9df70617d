// The errors a caller can get, by code and reason, free of any protocol.

/** The status codes of gRPC that this service uses, as REST spells them. */
export const errorCodes = [
  'invalid_argument',
  'unauthenticated',
  'permission_denied',
  'not_found',
  'already_exists',
  'failed_precondition',
  'resource_exhausted',
  'deadline_exceeded',
  'unavailable',
  'unimplemented',
  'canceled',
  'internal',
] as const;
export type ErrorCode = (typeof errorCodes)[number];

/**
 * The stable reasons, with what each means. Callers branch on these; a reason is never renamed or reused.
 * README.md documents the same list, held together by a test.
 */
export const reasons = {
  field_invalid: 'A field breaks a rule of the schema.',
  field_unknown: 'The request names a field that does not exist.',
  body_malformed: 'The body is not what its content type says.',
  key_duplicate: 'A JSON object, in the request or in the payload, names a key twice.',
  event_type_unknown: 'The event type is not in the catalogue.',
  endpoint_url_invalid: 'The URL is not an absolute http or https URL that the service accepts.',
  endpoint_url_forbidden: 'The URL points where webhooks may not go.',
  header_forbidden: 'A custom header carries the protocol or the signature, is malformed, or all of them are too large.',
  audience_missing: 'The event names neither users nor a broadcast.',
  broadcast_too_large: 'The broadcast is owed to more webhooks than one event may be.',
  payload_not_object: 'The payload is not a JSON object.',
  payload_malformed: 'The payload is not well-formed UTF-8 JSON.',
  payload_too_deep: 'The payload is nested too deeply.',
  payload_too_large: 'The payload, as it would be delivered, is larger than WEBHOOK_MAX_PAYLOAD_SIZE.',
  message_too_large:
    'What carries one event is larger than WEBHOOK_MAX_MESSAGE_SIZE, or a call without events than 262,144 bytes.',
  batch_too_large: 'A batch of events is larger than WEBHOOK_MAX_BATCH_SIZE: send its events in several batches.',
  payload_number_not_representable: 'The payload holds a number that a double cannot carry: send it as a string.',
  payload_key_forbidden: 'The payload holds a key that JavaScript receivers cannot carry safely.',
  time_range_invalid: 'The time range ends before it begins, or is too long.',
  page_token_invalid: 'The page token was not made by this service.',
  cursor_invalid: 'The cursor was not made by this service.',
  token_missing: 'The call carries no bearer token.',
  token_invalid: 'The bearer token is malformed, expired, or not signed by a trusted key.',
  role_not_allowed: 'The role of the token may not do this.',
  not_found: 'There is no such thing, or it is not yours to see.',
  route_not_found: 'There is nothing at this path.',
  method_not_allowed: 'This path does not take this method.',
  media_type_unsupported: 'The body is of a media type that this path does not read.',
  encoding_unsupported: 'The body is compressed in a way that this service does not read.',
  upgrade_required: 'This path speaks WebSocket alone.',
  idempotency_key_reused: 'The idempotency key was used with another body.',
  webhook_limit_reached: 'The user has as many webhooks as one may have.',
  watcher_limit_reached: 'The user has as many streams and WebSockets open as one may have.',
  test_limit_reached: 'As many test sends are under way as may be; try again when one has ended.',
  rotation_not_running: 'No rotation of the signing secret is under way.',
  webhook_inactive: 'The webhook is disabled, so nothing can be sent to it.',
  rate_limited: 'Too many calls; try again later.',
  overloaded: 'As much is waiting already, of the service or of this user, as may wait; try again later.',
  store_unavailable: 'The database does not answer; try again later.',
  keys_unavailable: 'The key of the token is not known, and the key server does not answer; try again later.',
  deadline_exceeded: 'The deadline passed before the answer was ready.',
  request_canceled: 'The caller went away.',
  shutting_down: 'This process is stopping; try another.',
  unimplemented: 'There is no such call here.',
  internal: 'Something went wrong on our side.',
} as const;

export type Reason = keyof typeof reasons;

/** One field at fault; `field` is its path in snake_case, as in `retry_policy.max_retries` or `events[0]`. */
export interface FieldViolation {
  readonly field: string;
  readonly message: string;
}

/** An expected failure. `message` is shown to the caller and says what to do; `cause` is for logs only. */
export class ServiceError extends Error {
  readonly code: ErrorCode;
  readonly reason: Reason;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    reason: Reason,
    message: string,
    options: { violations?: readonly FieldViolation[]; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ServiceError';
    this.code = code;
    this.reason = reason;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** An `invalid_argument` about one field. */
export function invalid(reason: Reason, field: string, message: string): ServiceError {
  return new ServiceError('invalid_argument', reason, `${field}: ${message}`, { violations: [{ field, message }] });
}

/** The one answer for what does not exist and for what is somebody else's: they must not differ. */
export function notFound(kind: 'webhook' | 'delivery'): ServiceError {
  return new ServiceError('not_found', 'not_found', `There is no such ${kind}.`);
}
