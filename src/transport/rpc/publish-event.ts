// EventService.PublishEvent: one event in, answered once the event and its deliveries are committed.
import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { publishEvent as publish, type PublishContext } from '../../service/publish-event.ts';
import { principalOf } from '../call/call-context.ts';
import { publishInput } from './publish-input.ts';

export function publishEvent(context: PublishContext): ServiceImpl<typeof EventService>['publishEvent'] {
  return (request, call) => publish(context, principalOf(call), publishInput(request, call.requestHeader));
}
