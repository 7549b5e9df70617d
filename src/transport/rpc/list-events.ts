// EventService.ListEvents: what was published, newest first.
import type { ServiceImpl } from '@connectrpc/connect';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { listEvents as list } from '../../service/list-events.ts';
import { principalOf } from '../call/call-context.ts';
import { eventMessage } from '../messages/event-message.ts';

export function listEvents(context: ManagementContext): ServiceImpl<typeof EventService>['listEvents'] {
  return async (request, call) => {
    const { items, limit, nextPageToken } = await list(context, principalOf(call), {
      eventType: request.eventType,
      publisher: request.publisher,
      userId: request.userId,
      sinceMs: request.since === undefined ? null : timestampMs(request.since),
      untilMs: request.until === undefined ? null : timestampMs(request.until),
      limit: request.limit,
      pageToken: request.pageToken,
    });
    return { events: items.map(eventMessage), limit, nextPageToken };
  };
}
