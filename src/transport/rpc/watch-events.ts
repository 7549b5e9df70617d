// DeliveryService.WatchEvents: every event of one user, as a webhook of theirs would get it, as long as the caller stays.
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  BehindSchema,
  type DeliveryService,
  HeartbeatSchema,
  type WatchedEvent as WatchedEventMessage,
  WatchedEventSchema,
  type WatchEventsResponse,
  WatchEventsResponseSchema,
} from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import { deliveryBody } from '../../domain/body.ts';
import { deliveryIdOf } from '../../domain/ids.ts';
import type { WatchedEvent } from '../../persistence/queries/watch-events.ts';
import type { EventMessage } from '../../realtime/event-watcher.ts';
import type { ServiceContext } from '../../service/context.ts';
import { watchEvents as watch } from '../../service/watch-events.ts';
import { principalOf } from '../call/call-context.ts';

export function watchEvents(
  context: Pick<ServiceContext, 'eventFeed' | 'catalogue' | 'pool'>,
): ServiceImpl<typeof DeliveryService>['watchEvents'] {
  return async function* watchEventsOf({ after, eventTypes, userId, filter }, call) {
    const watcher = await watch(context, principalOf(call), { after, eventTypes, userId, filter });
    const close = (): void => watcher.close();
    call.signal.addEventListener('abort', close);
    try {
      if (call.signal.aborted) return;
      for (let message = await watcher.next(); message !== null; message = await watcher.next())
        yield toMessage(message, watcher.webhookId);
    } finally {
      call.signal.removeEventListener('abort', close);
      watcher.close();
    }
  };
}

function toMessage(message: EventMessage, webhookId: string): WatchEventsResponse {
  return create(WatchEventsResponseSchema, { cursor: message.cursor, message: contentOf(message, webhookId) });
}

function contentOf(message: EventMessage, webhookId: string): WatchEventsResponse['message'] {
  switch (message.kind) {
    case 'event':
      return { case: 'event', value: eventMessage(message.event, webhookId) };
    case 'heartbeat':
      return { case: 'heartbeat', value: create(HeartbeatSchema) };
    case 'behind':
      return { case: 'behind', value: create(BehindSchema, { since: timestampFromMs(Math.floor(message.sinceMs)) }) };
  }
}

function eventMessage(event: WatchedEvent, webhookId: string): WatchedEventMessage {
  const { id, eventType, data, occurredAtMs, schemaVersion } = event;
  const deliveryId = deliveryIdOf(id, webhookId);
  return create(WatchedEventSchema, {
    eventId: id,
    eventType,
    deliveryId,
    webhookId,
    body: deliveryBody({ eventType, data, occurredAtMs, webhookId, deliveryId }),
    createdAt: timestampFromMs(Math.floor(event.createdMicros / 1000)),
    ...(schemaVersion === null ? {} : { schemaVersion }),
  });
}
