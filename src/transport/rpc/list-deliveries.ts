// DeliveryService.ListDeliveries: the log, by time.
import type { ServiceImpl } from '@connectrpc/connect';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type DeliveryService, ListOrder } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { listDeliveries as list } from '../../service/list-deliveries.ts';
import { principalOf } from '../call/call-context.ts';
import { deliveryMessage, statusOf } from '../messages/delivery-message.ts';

export function listDeliveries(context: ManagementContext): ServiceImpl<typeof DeliveryService>['listDeliveries'] {
  return async (request, call) => {
    const found = await list(context, principalOf(call), {
      statuses: [request.status, ...request.statuses].map(statusOf).filter((status) => status !== null),
      webhookIds: request.webhookId === '' ? request.webhookIds : [request.webhookId, ...request.webhookIds],
      eventType: request.eventType,
      eventId: request.eventId,
      httpStatus: request.httpStatus ?? null,
      errorCode: request.errorCode,
      sinceMs: request.since === undefined ? null : timestampMs(request.since),
      untilMs: request.until === undefined ? null : timestampMs(request.until),
      userId: request.userId,
      page: request.page,
      limit: request.limit,
      pageToken: request.pageToken,
      order: request.order === ListOrder.ASC ? 'asc' : 'desc',
    });
    return {
      deliveries: found.items.map(deliveryMessage),
      page: found.page,
      limit: found.limit,
      total: found.total,
      totalIsExact: found.totalIsExact,
      nextPageToken: found.nextPageToken,
    };
  };
}
