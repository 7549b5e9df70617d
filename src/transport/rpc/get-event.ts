// EventService.GetEvent: one event, with what became of it.
import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { getEvent as get } from '../../service/get-event.ts';
import { principalOf } from '../call/call-context.ts';
import { eventDetailsMessage } from '../messages/event-message.ts';

export function getEvent(context: ManagementContext): ServiceImpl<typeof EventService>['getEvent'] {
  return async (request, call) => eventDetailsMessage(await get(context, principalOf(call), request.eventId));
}
