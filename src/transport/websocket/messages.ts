// What goes over a WebSocket, both ways, as JSON.
import { create } from '@bufbuild/protobuf';
import { type WatchDeliveriesRequest, WatchDeliveriesRequestSchema } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { DeliveryStatus } from '../../domain/delivery.ts';
import { invalid, ServiceError } from '../../domain/errors.ts';
import { shownKey } from '../../domain/json-text.ts';
import type { ReleaseProgress } from '../../persistence/queries/release-progress.ts';
import type { OwnerNotice } from '../../realtime/status-bus.ts';
import type { FeedMessage, FeedUpdate } from '../../realtime/watcher.ts';
import { validateMessage } from '../call/interceptors/validate.ts';
import { parseJsonBody } from '../body/json-body.ts';
import type { JsonBody } from '../body/json-body.ts';
import { messageFromJson } from '../body/json-input.ts';

/** A delivery that was given up or cancelled reaches no receiver. One that waits for a retry by hand is a retry like any other. */
const TYPES: Record<DeliveryStatus, string> = {
  pending: 'webhook_retry',
  retrying: 'webhook_retry',
  delivered: 'webhook_delivery',
  failed: 'webhook_failed',
  cancelled: 'webhook_failed',
};

// One update goes to many sockets: it is written once.
const texts = new WeakMap<FeedUpdate, Buffer>();

export function feedText(message: FeedMessage): Buffer | string {
  if (message.kind === 'heartbeat') return JSON.stringify({ type: 'heartbeat', cursor: message.cursor });
  if (message.kind === 'gap')
    return JSON.stringify({ type: 'gap', data: { dropped: message.dropped }, cursor: message.cursor });
  if (message.kind === 'release') return JSON.stringify(progressOf(message.progress, message.cursor));
  let text = texts.get(message);
  if (text === undefined) texts.set(message, (text = Buffer.from(updateText(message))));
  return text;
}

function time(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

function progressOf(progress: ReleaseProgress, cursor: string): object {
  const data = {
    id: progress.id,
    webhook_id: progress.webhookId,
    user_id: progress.userId,
    state: progress.state,
    reason: progress.reason,
    rate: progress.rate,
    matched: progress.matched,
    matched_is_lower_bound: progress.isMatchedLowerBound,
    released: progress.released,
    delivered: progress.delivered,
    failed: progress.failed,
    cancelled: progress.cancelled,
    created_at: time(progress.createdAtMs),
    ended_at: time(progress.endedAtMs),
  };
  return { type: 'release_progress', data, cursor };
}

function updateText({ update, cursor }: FeedUpdate): string {
  const data = {
    delivery_id: update.deliveryId,
    webhook_id: update.webhookId,
    user_id: update.userId,
    event_id: update.eventId,
    event_type: update.eventType,
    status: update.status,
    http_status: update.httpStatus,
    attempt_count: update.attemptCount,
    error_code: update.errorCode,
    error_message: update.errorMessage,
    cancel_reason: update.cancelReason ?? null,
    ...(update.collapseKey == null ? {} : { collapse_key: update.collapseKey }),
    ...(update.deliverBeforeMs == null ? {} : { deliver_before: time(update.deliverBeforeMs) }),
    next_retry_at: update.status === 'retrying' ? time(update.nextAttemptAtMs) : null,
    delivered_at: time(update.deliveredAtMs),
    failed_at: time(update.failedAtMs),
    created_at: time(update.createdAtMs),
  };
  return JSON.stringify({ type: TYPES[update.status], data, cursor, timestamp: time(update.updatedAtMs) });
}

/** What each notice calls its time. */
const NOTICE_TIMES: Readonly<Record<OwnerNotice['type'], string>> = {
  webhook_disabled: 'disabled_at',
  webhook_paused: 'paused_at',
  webhook_enabled: 'enabled_at',
  webhook_resumed: 'resumed_at',
};

export function noticeText({ type, webhookId, reason, atMs }: OwnerNotice): string {
  return JSON.stringify({ type, data: { webhook_id: webhookId, reason, [NOTICE_TIMES[type]]: time(atMs) } });
}

export function errorText({ code, reason, message, violations }: ServiceError, requestId: string): string {
  const details = violations.map((violation) => ({ field: violation.field, message: violation.message }));
  return JSON.stringify({ type: 'error', error: { code, reason, message, request_id: requestId, details } });
}

export type ClientMessage =
  | { readonly type: 'ping' }
  | { readonly type: 'subscribe'; readonly request: WatchDeliveriesRequest };

/** `{"type":"ping"}`, or `{"type":"subscribe"}` with the fields of WatchDeliveries. Throws a ServiceError for anything else. */
export function readClientMessage(bytes: Buffer): ClientMessage {
  const { value: json, faults } = parseJsonBody(bytes);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw invalid('body_malformed', 'type', 'must be in a JSON object');
  }
  const { type, ...fields } = json as Record<string, unknown>;
  if (type === 'ping') return { type };
  if (type === 'subscribe') return { type, request: watchRequest({ value: fields, faults }) };
  throw invalid('field_invalid', 'type', 'must be "subscribe" or "ping"');
}

export function watchRequest(body: JsonBody): WatchDeliveriesRequest {
  const request = messageFromJson(WatchDeliveriesRequestSchema, body);
  validateMessage(WatchDeliveriesRequestSchema, request);
  return create(WatchDeliveriesRequestSchema, request as WatchDeliveriesRequest);
}

/** The names that the URL's query has for the fields of WatchDeliveries; lists are repeated or separated by commas. */
const QUERY_FIELDS: Readonly<Record<string, { readonly field: string; readonly isList: boolean }>> = {
  after: { field: 'after', isList: false },
  webhook_id: { field: 'webhook_ids', isList: true },
  event_type: { field: 'event_types', isList: true },
  status: { field: 'statuses', isList: true },
  event_id: { field: 'event_id', isList: false },
  user_id: { field: 'user_id', isList: false },
};

/** The subscription that a URL asks for. Throws a ServiceError that names the parameter at fault, as the query of a REST call would. */
export function watchRequestOfQuery(parameters: readonly (readonly [name: string, value: string])[]): WatchDeliveriesRequest {
  const fields: Record<string, string | string[]> = {};
  for (const [name, value] of parameters) {
    if (value === '') continue;
    const known = Object.hasOwn(QUERY_FIELDS, name) ? QUERY_FIELDS[name] : undefined;
    if (known === undefined) throw invalid('field_unknown', shownKey(name), 'is not a parameter of this request');
    const { field, isList } = known;
    if (isList) fields[field] = [...[fields[field] ?? []].flat(), ...value.split(',')];
    else if (Object.hasOwn(fields, field)) throw invalid('field_invalid', name, 'is given more than once');
    else fields[field] = value;
  }
  try {
    return watchRequest({ value: fields, faults: new Map() });
  } catch (thrown) {
    throw thrown instanceof ServiceError ? namedAsInQuery(thrown) : thrown;
  }
}

function namedAsInQuery({ reason, violations, cause }: ServiceError): ServiceError {
  const named = violations.map(({ field, message }) => {
    const [base = ''] = field.split('[', 1);
    const name = Object.keys(QUERY_FIELDS).find((key) => QUERY_FIELDS[key]?.field === base);
    return { field: name ?? field, message };
  });
  const [first] = named;
  return new ServiceError(reason, `${first?.field}: ${first?.message}`, { violations: named, cause });
}
