// Says whether a payload, or one of a past event, passes a filter.
import { notFound } from '../domain/errors.ts';
import { isId } from '../domain/ids.ts';
import { canonicalPayload, type JsonObject, parsePayload } from '../domain/payload.ts';
import { faultOfFilter } from '../domain/payload-filter.ts';
import { Event } from '../persistence/entities/event.ts';
import { entityManagerOf } from '../persistence/orm.ts';
import { explainDeliveries } from '../persistence/queries/explain-deliveries.ts';
import { tryFilter } from '../persistence/queries/try-filter.ts';
import type { Principal } from '../security/tokens.ts';
import type { ManagementContext } from './context.ts';
import { findWebhook } from './find-webhook.ts';
import { ownerOf } from './owner.ts';

export interface TestFilterInput {
  readonly webhookId: string;
  /** Undefined: the one that the webhook has. Empty: none, which every payload passes. */
  readonly filter: string | undefined;
  readonly payload: { readonly json: JsonObject } | { readonly bytes: Uint8Array } | { readonly eventId: string };
}

export interface FilterTest {
  readonly match: boolean;
  /** Why it cannot match, in words; empty when the filter is true or false. */
  readonly error: string;
  /** The character at fault, counted from 1; 0 when no character is. */
  readonly position: number;
}

const NOT_HELD = 'the payload holds what PostgreSQL cannot read as jsonb, such as the character \\u0000: it passes no filter';
const NEITHER =
  'the filter is neither true nor false for this payload, which counts as no match: it compares values of different types, calculates with what is no number, or is strict and names a field that is missing';

/** Errors: `not_found`, `invalid_argument` (payload_*). A filter that is none is an answer, not an error. */
export async function testFilter(
  context: ManagementContext,
  principal: Principal,
  input: TestFilterInput,
): Promise<FilterTest> {
  const webhook = await findWebhook(entityManagerOf(context.orm, ownerOf(principal)), input.webhookId);
  const payload = await payloadOf(context, principal, input);
  const filter = input.filter ?? webhook.filter ?? '';
  if (filter === '') return { match: true, error: '', position: 0 };
  const fault = faultOfFilter(filter);
  if (fault !== null)
    return { match: false, error: `at character ${fault.position}: ${fault.message}`, position: fault.position };
  const { results, error } = await tryFilter(context.pool, filter, [payload]);
  const [result] = results ?? [];
  if (result === undefined) return { match: false, error: error ?? '', position: 0 };
  return {
    match: result.isTrue === true,
    error: result.isHeld ? (result.isTrue === null ? NEITHER : '') : NOT_HELD,
    position: 0,
  };
}

async function payloadOf(
  context: ManagementContext,
  principal: Principal,
  { webhookId, payload }: TestFilterInput,
): Promise<string> {
  if ('eventId' in payload) return payloadOfEvent(context, principal, webhookId, payload.eventId);
  const { maxPayloadBytes } = context.config;
  return 'json' in payload
    ? canonicalPayload(payload.json, maxPayloadBytes, 'data')
    : parsePayload(payload.bytes, maxPayloadBytes, 'data_json');
}

// Whether a filter matches says something of the payload: only who may read the event may ask.
async function payloadOfEvent(
  context: ManagementContext,
  principal: Principal,
  webhookId: string,
  eventId: string,
): Promise<string> {
  if (!isId('event', eventId)) throw notFound('event');
  const event = await entityManagerOf(context.orm, { everyone: true }).findOne(Event, { id: eventId });
  if (event === null) throw notFound('event');
  if (principal.role === 'admin' || principal.userId === event.publisher) return event.data;
  const [explained] = await explainDeliveries(context.pool, { eventId, webhookIds: [webhookId], deliveryId: null });
  if (explained === undefined || (explained.delivery === null && !explained.matches.audience)) throw notFound('event');
  return event.data;
}
