// How a request to watch becomes what the service understands; streams and WebSockets share it.
import type { WatchDeliveriesRequest } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { WatchInput } from '../../service/watch-deliveries.ts';
import { statusOf } from '../messages/delivery-message.ts';

/** Expects a validated request. */
export function watchInput(request: WatchDeliveriesRequest): WatchInput {
  return {
    after: request.after,
    webhookIds: request.webhookIds,
    eventTypes: request.eventTypes,
    statuses: request.statuses.map(statusOf).filter((status) => status !== null),
    eventId: request.eventId,
    userId: request.userId,
  };
}
