// How an event on the wire becomes what the service publishes; shared by the three calls that publish.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { PublishEventRequest } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { invalid } from '../../domain/errors.ts';
import type { PublishInput } from '../../service/publish-event.ts';

/** Version 00 of the W3C trace context; anything else is not passed on to receivers. */
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Expects a validated request. */
export function publishInput(request: PublishEventRequest, header: Headers): PublishInput {
  const traceparent = header.get('traceparent');
  return {
    eventType: request.eventType,
    data: payloadOf(request),
    audience: { userIds: request.audience?.userIds ?? [], broadcast: request.audience?.broadcast ?? false },
    idempotencyKey: request.idempotencyKey === '' ? null : request.idempotencyKey,
    occurredAtMs: request.occurredAt === undefined ? null : timestampMs(request.occurredAt),
    traceparent: traceparent !== null && TRACEPARENT.test(traceparent) ? traceparent : null,
  };
}

function payloadOf({ payload }: PublishEventRequest): PublishInput['data'] {
  if (payload.case === 'data') return { json: payload.value };
  if (payload.case === 'dataJson') return { bytes: payload.value };
  throw invalid('field_invalid', 'data', 'is required');
}
