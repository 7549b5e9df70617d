// DeliveryService.WatchDeliveries: every committed change, as long as the caller stays.
import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  type DeliveryService,
  GapSchema,
  HeartbeatSchema,
  type WatchDeliveriesResponse,
  WatchDeliveriesResponseSchema,
} from '../../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { FeedMessage } from '../../realtime/watcher.ts';
import type { ServiceContext } from '../../service/context.ts';
import { watchDeliveries as watch } from '../../service/watch-deliveries.ts';
import { principalOf } from '../call/call-context.ts';
import { deliveryMessage } from '../messages/delivery-message.ts';
import { progressMessage } from '../messages/progress-message.ts';
import { watchInput } from './watch-input.ts';

export function watchDeliveries(context: Pick<ServiceContext, 'feed'>): ServiceImpl<typeof DeliveryService>['watchDeliveries'] {
  return async function* watchDeliveriesOf(request, call) {
    const watcher = await watch(context, principalOf(call), watchInput(request));
    const close = (): void => watcher.close();
    call.signal.addEventListener('abort', close);
    try {
      if (call.signal.aborted) return;
      // The transport asks for the next message only when the last one has left: a slow reader fills the watcher's queue, no more.
      for (let message = await watcher.next(); message !== null; message = await watcher.next()) yield toMessage(message);
    } finally {
      call.signal.removeEventListener('abort', close);
      watcher.close();
    }
  };
}

function toMessage(message: FeedMessage): WatchDeliveriesResponse {
  return create(WatchDeliveriesResponseSchema, { cursor: message.cursor, message: contentOf(message) });
}

function contentOf(message: FeedMessage): WatchDeliveriesResponse['message'] {
  switch (message.kind) {
    case 'update': {
      const { deliveryId, ...rest } = message.update;
      return { case: 'delivery', value: deliveryMessage({ id: deliveryId, ...rest }) };
    }
    case 'heartbeat':
      return { case: 'heartbeat', value: create(HeartbeatSchema) };
    case 'gap':
      return { case: 'gap', value: create(GapSchema, { dropped: message.dropped }) };
    case 'release':
      return { case: 'release', value: progressMessage(message.progress) };
  }
}
