// EventService.PublishEvent: one event in, answered once the event and its deliveries are committed.
import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import { publishEvent as publish, type PublishContext, validateEvent } from '../../service/publish-event.ts';
import { principalOf } from '../call/call-context.ts';
import { publishInput } from './publish-input.ts';

export function publishEvent(context: PublishContext): ServiceImpl<typeof EventService>['publishEvent'] {
  return async (request, call) => {
    const input = publishInput(request, call.requestHeader);
    if (!request.validateOnly) return publish(context, principalOf(call), input);
    const { wouldDeliver, wouldNot } = await validateEvent(context, principalOf(call), input);
    return { validateOnly: true, wouldDeliver: [...wouldDeliver], wouldNot: [...wouldNot] };
  };
}
