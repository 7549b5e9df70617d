// How published events look on the wire.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { NoDeliveryReason, type PublishedEventSchema } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { ListedEvent } from '../../persistence/queries/list-events.ts';
import type { EventDetails, NoDeliveryReason as Reason } from '../../service/get-event.ts';
import { statusNamed } from './delivery-message.ts';

const REASONS: Record<Reason, NoDeliveryReason> = {
  no_webhook: NoDeliveryReason.NO_WEBHOOK,
  not_subscribed: NoDeliveryReason.NOT_SUBSCRIBED,
  inactive: NoDeliveryReason.INACTIVE,
  filtered: NoDeliveryReason.FILTERED,
  changed_since: NoDeliveryReason.CHANGED_SINCE,
};

export function eventMessage(event: ListedEvent) {
  return {
    id: event.id,
    eventType: event.eventType,
    publisher: event.publisher,
    broadcast: event.broadcast,
    occurredAt: timestampFromMs(Math.floor(event.occurredAtMs)),
    createdAt: timestampFromMs(Math.floor(event.createdAtMs)),
    deliveries: event.deliveries,
  } satisfies MessageInitShape<typeof PublishedEventSchema>;
}

export function eventDetailsMessage(event: EventDetails): MessageInitShape<typeof PublishedEventSchema> {
  return {
    ...eventMessage(event),
    userIds: [...event.userIds],
    dataJson: event.data,
    counts: { total: event.deliveries, ...Object.fromEntries(event.counts) },
    sentTo: event.recipients.map(({ status, ...recipient }) => ({ ...recipient, status: statusNamed(status) })),
    ...(event.noDeliveryReason === null ? {} : { noDeliveryReason: REASONS[event.noDeliveryReason] }),
  };
}
