// Publishing one event: checked, written with all its deliveries, and only then answered.
import { createHash } from 'node:crypto';
import { chainOf } from '../domain/chain.ts';
import { type MatchingRule, matchingRules } from '../domain/delivery-rules.ts';
import { invalid } from '../domain/errors.ts';
import { versionOf } from '../domain/event-type.ts';
import { newId } from '../domain/ids.ts';
import { canonicalPayload, parsePayload, type JsonObject } from '../domain/payload.ts';
import type { Candidate } from '../persistence/queries/find-audience.ts';
import type { EventRow } from '../persistence/queries/insert-events.ts';
import type { Principal } from '../security/tokens.ts';
import { newTraceparent } from '../telemetry/traceparent.ts';
import type { EventCatalogue } from './event-catalogue.ts';
import type { Published, Publisher } from './publisher.ts';

/**
 * Further off than this, a time of occurrence is a mistake of the publisher's: a year back covers any backfill, a day ahead any
 * clock.
 */
const MAX_OCCURRED_AGO_MS = 366 * 86_400_000;
const MAX_OCCURRED_AHEAD_MS = 86_400_000;

export interface PublishInput {
  readonly eventType: string;
  /** The payload as a structure, or as the UTF-8 text of a JSON object. */
  readonly data: { readonly json: JsonObject } | { readonly bytes: Uint8Array };
  readonly audience: { readonly userIds: readonly string[]; readonly broadcast: boolean };
  readonly idempotencyKey: string | null;
  /** Deliveries of one webhook with the same key are numbered, and where the webhook wants it attempted one at a time. */
  readonly orderingKey: string | null;
  /** Older deliveries of one webhook and event type with the same end when this one is committed. */
  readonly collapseKey: string | null;
  /** No attempt begins later, in milliseconds since 1970; a moment that has passed is taken, and then nothing is sent. */
  readonly deliverBeforeMs: number | null;
  /** When it happened, in milliseconds since 1970; null means now. */
  readonly occurredAtMs: number | null;
  readonly traceparent: string | null;
}

export interface PublishContext {
  readonly publisher: Pick<Publisher, 'publish' | 'takeBatchKey' | 'isBusy'>;
  readonly config: { readonly maxPayloadBytes: number };
  readonly catalogue: Pick<EventCatalogue, 'find' | 'checkPayload'>;
  /** The webhooks that an event could be for, with what each rule of matching says. */
  readonly findAudience: (
    event: Pick<EventRow, 'eventType' | 'data' | 'userIds' | 'broadcast'>,
  ) => Promise<readonly Candidate[]>;
  /** Milliseconds since 1970 by the database's clock: ids carry the time, and a row belongs into the partition of its day. */
  readonly now: () => number;
}

/**
 * Publishes an event. Resolves once the event and every delivery are committed.
 *
 * Errors: `invalid_argument` (event_type_unknown, audience_missing, payload_*), `already_exists` (idempotency_key_reused),
 * `resource_exhausted` (payload_too_large, overloaded), `unavailable` (store_unavailable).
 */
export function publishEvent(context: PublishContext, principal: Principal, input: PublishInput): Promise<Published> {
  return context.publisher.publish(checkedEvent(context, principal, input));
}

/** Who would get an event and who would not, as the service stands now. Writes nothing. Rejects for what publishEvent rejects as far as the event is at fault. */
export async function validateEvent(
  context: PublishContext,
  principal: Principal,
  input: PublishInput,
): Promise<{ readonly wouldDeliver: readonly string[]; readonly wouldNot: readonly WouldNot[] }> {
  const event = checkedEvent(context, principal, input);
  const webhooks = await context.findAudience(event);
  const stops = webhooks.map((webhook) => ({ ...webhook, rule: matchingRules.find((rule) => !webhook.matches[rule]) }));
  return {
    wouldDeliver: stops.filter(({ rule }) => rule === undefined).map(({ webhookId }) => webhookId),
    wouldNot: stops.flatMap(({ webhookId, rule }) =>
      rule === undefined ? [] : [{ webhookId, code: rule, message: REFUSALS[rule] }],
    ),
  };
}

/** A webhook that would not get an event: the rule that stops it, and what was found. */
export interface WouldNot {
  readonly webhookId: string;
  readonly code: MatchingRule;
  readonly message: string;
}

const REFUSALS: Readonly<Record<MatchingRule, string>> = {
  audience: 'The event does not concern the owner of the webhook.',
  active: 'The webhook is disabled.',
  event_type: 'The webhook is not subscribed to the type of the event.',
  filter: 'The payload does not pass the filter of the webhook.',
};

/** The event as it is written. Throws what publishEvent rejects with, as far as the event itself is at fault. */
export function checkedEvent(context: PublishContext, principal: Principal, input: PublishInput): EventRow {
  const { maxPayloadBytes } = context.config;
  const nowMs = Math.floor(context.now());
  const type = context.catalogue.find(input.eventType);
  if (type === undefined) {
    throw invalid(
      'event_type_unknown',
      'event_type',
      `"${input.eventType}" is not an event type; see GET /api/v1/webhooks/events`,
    );
  }
  const { userIds, broadcast } = input.audience;
  if (userIds.length === 0 && !broadcast) {
    throw invalid('audience_missing', 'audience', 'must name user_ids or set broadcast');
  }
  if (broadcast && input.orderingKey !== null) {
    throw invalid('field_invalid', 'ordering_key', 'needs user_ids: a broadcast has too many webhooks to be kept in order');
  }
  if (broadcast && input.collapseKey !== null) {
    throw invalid(
      'field_invalid',
      'collapse_key',
      'needs user_ids: a broadcast has too many webhooks to keep the newest of each',
    );
  }
  const occurredAtMs = input.occurredAtMs ?? nowMs;
  if (occurredAtMs < nowMs - MAX_OCCURRED_AGO_MS || occurredAtMs > nowMs + MAX_OCCURRED_AHEAD_MS) {
    throw invalid('field_invalid', 'occurred_at', 'must be within the past year and at most a day ahead');
  }
  const data =
    'json' in input.data
      ? canonicalPayload(input.data.json, maxPayloadBytes, 'data')
      : parsePayload(input.data.bytes, maxPayloadBytes, 'data_json');
  if (type.check !== null) context.catalogue.checkPayload(type, data);
  return {
    id: newId('event', nowMs),
    eventType: input.eventType,
    data,
    schemaVersion: versionOf(type),
    occurredAtMs,
    publisher: principal.userId,
    userIds,
    broadcast,
    traceparent: input.traceparent ?? newTraceparent(),
    idempotencyKey: input.idempotencyKey,
    orderingKey: input.orderingKey,
    collapseKey: input.collapseKey,
    chain: chainOf(input),
    deliverBeforeMs: input.deliverBeforeMs,
    requestHash: input.idempotencyKey === null ? null : requestHash(input, data),
  };
}

// Over what the caller said, not over what was made of it: a retry without occurred_at is the same request.
function requestHash(input: PublishInput, data: string): string {
  const request: unknown[] = [input.eventType, data, input.audience.broadcast, input.audience.userIds, input.occurredAtMs];
  // Last and only where there is one: what was published before keys were known has the same hash.
  if (input.orderingKey !== null) request.push(input.orderingKey);
  // In brackets with its name, so that no ordering key looks like it.
  if (input.deliverBeforeMs !== null) request.push(['deliver_before', input.deliverBeforeMs]);
  if (input.collapseKey !== null) request.push(['collapse_key', input.collapseKey]);
  return createHash('sha256').update(JSON.stringify(request)).digest('base64url');
}
