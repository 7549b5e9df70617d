// One event among many: it is published, or says why not, and its neighbours go on.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { PublishEventRequestSchema } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { PublishEventRequest, PublishResultSchema } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { ServiceError } from '../../domain/errors.ts';
import type { Principal } from '../../security/tokens.ts';
import { publishEvent as publish, type PublishContext } from '../../service/publish-event.ts';
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
  try {
    if (event === undefined) throw invalid('field_invalid', 'event', 'is required');
    const fault = faultOf(event);
    if (fault !== undefined) throw fault;
    validateMessage(PublishEventRequestSchema, event);
    return { published: await publish(context, principal, publishInput(event, header)) };
  } catch (thrown) {
    return { error: toServiceError(thrown) };
  }
}

export function publishResult(outcome: Outcome): MessageInitShape<typeof PublishResultSchema> {
  if ('published' in outcome) return { result: { case: 'published', value: outcome.published } };
  const { code, reason, message, violations } = outcome.error;
  return { result: { case: 'error', value: { code, reason, message, field: violations[0]?.field ?? '' } } };
}
