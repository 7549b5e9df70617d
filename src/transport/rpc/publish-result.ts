// One event among many: it is published, or says why not, and its neighbours go on.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { PublishEventRequestSchema } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { PublishEventRequest, PublishResultSchema } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { ServiceError } from '../../domain/errors.ts';
import type { EventRow } from '../../persistence/queries/insert-events.ts';
import type { Principal } from '../../security/tokens.ts';
import { checkedEvent, type PublishContext } from '../../service/publish-event.ts';
import type { Published } from '../../service/publisher.ts';
import { toServiceError } from '../call/errors.ts';
import { faultOf } from '../body/lone-items.ts';
import { validateMessage } from '../call/interceptors/validate.ts';
import { publishInput } from './publish-input.ts';

export type Outcome = { readonly published: Published } | { readonly error: ServiceError };

/** Never rejects. */
export async function publishOne(
  context: PublishContext,
  principal: Principal,
  event: PublishEventRequest | undefined,
  header: Headers,
): Promise<Outcome> {
  return publishChecked(context, checkOne(context, principal, event, header));
}

/** An event that can be published, or why it cannot. */
export type Checked = { readonly row: EventRow } | { readonly error: ServiceError };

/**
 * Never throws.
 * @param key for an event that has none of its own
 */
export function checkOne(
  context: PublishContext,
  principal: Principal,
  event: PublishEventRequest | undefined,
  header: Headers,
  key: string | null = null,
): Checked {
  try {
    if (event === undefined) throw invalid('field_invalid', 'event', 'is required');
    const fault = faultOf(event);
    if (fault !== undefined) throw fault;
    validateMessage(PublishEventRequestSchema, event);
    if (event.validateOnly)
      throw invalid('field_invalid', 'validate_only', 'is for PublishEvent alone: in a batch or a stream events are published');
    const input = publishInput(event, header);
    const keyed = key === null || input.idempotencyKey !== null ? input : { ...input, idempotencyKey: key };
    return { row: checkedEvent(context, principal, keyed) };
  } catch (thrown) {
    return { error: toServiceError(thrown) };
  }
}

/** Never rejects. */
export async function publishChecked({ publisher }: PublishContext, checked: Checked): Promise<Outcome> {
  if ('error' in checked) return checked;
  try {
    return { published: await publisher.publish(checked.row) };
  } catch (thrown) {
    return { error: toServiceError(thrown) };
  }
}

export function publishResult(outcome: Outcome): MessageInitShape<typeof PublishResultSchema> {
  if ('published' in outcome) return { result: { case: 'published', value: outcome.published } };
  const { code, reason, message, violations } = outcome.error;
  return { result: { case: 'error', value: { code, reason, message, field: violations[0]?.field ?? '' } } };
}
