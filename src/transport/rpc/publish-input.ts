// How an event on the wire becomes what the service publishes; shared by the three calls that publish.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { PublishEventRequest } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { PublishInput } from '../../service/publish-event.ts';

/** Expects a validated request. */
export function publishInput(request: PublishEventRequest, header: Headers): PublishInput {
  return {
    eventType: request.eventType,
    data: payloadOf(request),
    audience: { userIds: request.audience?.userIds ?? [], broadcast: request.audience?.broadcast ?? false },
    idempotencyKey: request.idempotencyKey === '' ? null : request.idempotencyKey,
    orderingKey: request.orderingKey ?? null,
    collapseKey: request.collapseKey ?? null,
    deliverBeforeMs: request.deliverBefore === undefined ? null : timestampMs(request.deliverBefore),
    occurredAtMs: request.occurredAt === undefined ? null : timestampMs(request.occurredAt),
    // Of the call itself: `observe` has checked the caller's, or begun a trace.
    traceparent: header.get('traceparent'),
  };
}

function payloadOf({ payload }: PublishEventRequest): PublishInput['data'] {
  if (payload.case === 'data') return { json: payload.value };
  if (payload.case === 'dataJson') return { bytes: payload.value };
  throw invalid('field_invalid', 'data', 'is required');
}
