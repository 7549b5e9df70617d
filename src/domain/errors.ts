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

/** What callers branch on, with the code that each reason comes with and what it means. A reason is never renamed or reused. */
const catalogue = {
  field_invalid: { code: 'invalid_argument', meaning: 'A field breaks a rule of the schema.' },
  field_unknown: { code: 'invalid_argument', meaning: 'The request names a field that does not exist.' },
  body_malformed: { code: 'invalid_argument', meaning: 'The body is not what its content type says.' },
  key_duplicate: { code: 'invalid_argument', meaning: 'A JSON object, in the request or in the payload, names a key twice.' },
  event_type_unknown: { code: 'invalid_argument', meaning: 'The event type is not in the catalogue.' },
  event_type_exists: { code: 'already_exists', meaning: 'The catalogue has an event type of that name.' },
  event_type_limit_reached: { code: 'resource_exhausted', meaning: 'The catalogue has as many event types as it may have.' },
  endpoint_url_invalid: {
    code: 'invalid_argument',
    meaning: 'The URL is not an absolute http or https URL that the service accepts.',
  },
  endpoint_url_forbidden: { code: 'invalid_argument', meaning: 'The URL points where webhooks may not go.' },
  header_forbidden: {
    code: 'invalid_argument',
    meaning: 'A custom header carries the protocol or the signature, is malformed, or all of them are too large.',
  },
  audience_missing: { code: 'invalid_argument', meaning: 'The event names neither users nor a broadcast.' },
  broadcast_too_large: {
    code: 'failed_precondition',
    meaning: 'The broadcast has more webhooks than one event may have.',
  },
  payload_not_object: { code: 'invalid_argument', meaning: 'The payload is not a JSON object.' },
  payload_malformed: { code: 'invalid_argument', meaning: 'The payload is not well-formed UTF-8 JSON.' },
  payload_too_deep: { code: 'invalid_argument', meaning: 'The payload is nested too deeply.' },
  payload_too_large: {
    code: 'resource_exhausted',
    meaning: 'The payload, as it would be delivered, is larger than WEBHOOK_MAX_PAYLOAD_SIZE.',
  },
  message_too_large: {
    code: 'invalid_argument',
    meaning: 'What carries one event is larger than WEBHOOK_MAX_MESSAGE_SIZE, or a call without events than 262,144 bytes.',
  },
  batch_too_large: {
    code: 'invalid_argument',
    meaning: 'A batch of events is larger than WEBHOOK_MAX_BATCH_SIZE: send its events in several batches.',
  },
  payload_number_not_representable: {
    code: 'invalid_argument',
    meaning: 'The payload holds a number that a double cannot carry: send it as a string.',
  },
  payload_schema_mismatch: {
    code: 'invalid_argument',
    meaning: 'The payload is not what the schema of its event type says.',
  },
  schema_incompatible: {
    code: 'failed_precondition',
    meaning: 'The new schema of an event type takes back what the last one gave; `force` takes it all the same.',
  },
  filter_invalid: {
    code: 'invalid_argument',
    meaning: 'The filter of a webhook does not parse, or could cost too much; the message says at which character.',
  },
  payload_key_forbidden: {
    code: 'invalid_argument',
    meaning: 'The payload holds a key that JavaScript receivers cannot carry safely.',
  },
  time_range_invalid: { code: 'invalid_argument', meaning: 'The time range ends before it begins, or is too long.' },
  page_token_invalid: { code: 'invalid_argument', meaning: 'The page token was not made by this service.' },
  cursor_invalid: { code: 'invalid_argument', meaning: 'The cursor was not made by this service.' },
  token_missing: { code: 'unauthenticated', meaning: 'The call carries no bearer token.' },
  token_invalid: {
    code: 'unauthenticated',
    meaning: 'The bearer token is malformed, expired, or not signed by a trusted key.',
  },
  role_not_allowed: { code: 'permission_denied', meaning: 'The role of the token may not do this.' },
  not_found: { code: 'not_found', meaning: 'There is no such thing, or it is not yours to see.' },
  route_not_found: { code: 'not_found', meaning: 'There is nothing at this path.' },
  method_not_allowed: { code: 'unimplemented', meaning: 'This path does not take this method.' },
  media_type_unsupported: { code: 'invalid_argument', meaning: 'The body is of a media type that this path does not read.' },
  encoding_unsupported: { code: 'unimplemented', meaning: 'The body is compressed in a way that this service does not read.' },
  upgrade_required: { code: 'failed_precondition', meaning: 'This path speaks WebSocket alone.' },
  idempotency_key_reused: { code: 'already_exists', meaning: 'The idempotency key was used with another body.' },
  idempotency_key_in_use: {
    code: 'failed_precondition',
    meaning: 'The first call with this idempotency key is still under way; repeat it later.',
  },
  idempotency_limit_reached: {
    code: 'resource_exhausted',
    meaning: 'The answers of as many calls with an idempotency key are kept as one user may have.',
  },
  webhook_limit_reached: { code: 'resource_exhausted', meaning: 'The user has as many webhooks as one may have.' },
  watcher_limit_reached: {
    code: 'resource_exhausted',
    meaning: 'The user has as many streams and WebSockets open as one may have.',
  },
  test_limit_reached: {
    code: 'resource_exhausted',
    meaning: 'As many test sends are under way as may be; try again when one has ended.',
  },
  diagnose_limit_reached: {
    code: 'resource_exhausted',
    meaning: 'The user has had as many diagnoses in this minute as one may have, or one of the same is under way.',
  },
  etag_mismatch: {
    code: 'failed_precondition',
    meaning: 'The thing is not in the state that the call was meant for; the error carries it as it is now.',
  },
  rotation_running: {
    code: 'failed_precondition',
    meaning: 'A rotation of the service key is under way: wait for its end, or rotate without an overlap.',
  },
  rotation_not_running: { code: 'failed_precondition', meaning: 'No rotation of the signing secret is under way.' },
  webhook_inactive: {
    code: 'failed_precondition',
    meaning: 'The webhook is disabled, so nothing but a test can be sent to it.',
  },
  delivery_ended: {
    code: 'failed_precondition',
    meaning: 'The delivery was delivered or given up, so there is nothing to cancel.',
  },
  delivery_expired: {
    code: 'failed_precondition',
    meaning: 'The `deliver_before` of the delivery has passed, so it is not sent any more.',
  },
  delivery_superseded: {
    code: 'failed_precondition',
    meaning: 'A newer event with the `collapse_key` of the delivery has been published, so it is not sent any more.',
  },
  replay_exists: { code: 'already_exists', meaning: 'A replay that selects the same has not ended; the error names it.' },
  replay_limit_reached: {
    code: 'resource_exhausted',
    meaning: 'As many replays of the webhook, or of its user, have not ended as may run.',
  },
  rate_limited: { code: 'resource_exhausted', meaning: 'Too many calls; try again later.' },
  overloaded: {
    code: 'resource_exhausted',
    meaning: 'As much is waiting already, of the service or of this user, as may wait; try again later.',
  },
  store_unavailable: {
    code: 'unavailable',
    meaning: 'The database does not answer, or cannot take what is to be written; try again later.',
  },
  keys_unavailable: {
    code: 'unavailable',
    meaning: 'The key of the token is not known, and the key server does not answer; try again later.',
  },
  deadline_exceeded: { code: 'deadline_exceeded', meaning: 'The deadline passed before the answer was ready.' },
  request_canceled: { code: 'canceled', meaning: 'The caller went away.' },
  shutting_down: { code: 'unavailable', meaning: 'This process is stopping; try another.' },
  unimplemented: { code: 'unimplemented', meaning: 'There is no such call here.' },
  internal: { code: 'internal', meaning: 'Something went wrong on our side.' },
} as const satisfies Record<string, { code: ErrorCode; meaning: string }>;

export type Reason = keyof typeof catalogue;

/** What each reason means. docs/errors.md has the same list; a test holds them together. */
export const reasons = Object.fromEntries(
  Object.entries(catalogue).map(([reason, { meaning }]) => [reason, meaning]),
) as Readonly<Record<Reason, string>>;

/** The code that a reason comes with, wherever it is thrown. */
export function codeOf(reason: Reason): ErrorCode {
  return catalogue[reason].code;
}

/** One field at fault; `field` is its path in snake_case, as in `retry_policy.max_retries` or `events[0]`. */
export interface FieldViolation {
  readonly field: string;
  readonly message: string;
}

/** An expected failure; its reason decides its code. `message` is shown to the caller and says what to do; `cause` is for logs only. */
export class ServiceError extends Error {
  readonly code: ErrorCode;
  readonly reason: Reason;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: Reason,
    message: string,
    options: { violations?: readonly FieldViolation[]; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ServiceError';
    this.code = codeOf(reason);
    this.reason = reason;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** A refusal of one field. */
export function invalid(reason: Reason, field: string, message: string): ServiceError {
  return new ServiceError(reason, `${field}: ${message}`, { violations: [{ field, message }] });
}

/** The one reply for what does not exist and for what belongs to another user: they must not differ. */
export function notFound(kind: 'webhook' | 'delivery' | 'event' | 'event type' | 'replay'): ServiceError {
  return new ServiceError('not_found', `There is no such ${kind}.`);
}
