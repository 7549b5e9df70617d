// DeliveryService.ListDeliveries: the log, newest first.
import type { ServiceImpl } from '@connectrpc/connect';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { DeliveryService } from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { listDeliveries as list } from '../../service/list-deliveries.ts';
import { principalOf } from '../call/call-context.ts';
import { deliveryMessage, statusOf } from '../messages/delivery-message.ts';

export function listDeliveries(context: ManagementContext): ServiceImpl<typeof DeliveryService>['listDeliveries'] {
  return async (request, call) => {
    const found = await list(context, principalOf(call), {
      status: statusOf(request.status),
      webhookId: request.webhookId,
      eventType: request.eventType,
      eventId: request.eventId,
      sinceMs: request.since === undefined ? null : timestampMs(request.since),
      untilMs: request.until === undefined ? null : timestampMs(request.until),
      userId: request.userId,
      page: request.page,
      limit: request.limit,
      pageToken: request.pageToken,
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
