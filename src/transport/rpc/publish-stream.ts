// EventService.PublishStream: events without end, one result each, in their order.
import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { PublishContext } from '../../service/publish-event.ts';
import { principalOf } from '../call/call-context.ts';
import { orderedWindow } from './ordered-window.ts';
import { publishOne, publishResult } from './publish-result.ts';

/** Events of one stream that are being committed or whose results were not read yet: the two group commits that may be in flight. */
const WINDOW_EVENTS = 1000;

export function publishStream(context: PublishContext): ServiceImpl<typeof EventService>['publishStream'] {
  return (requests, call) => {
    const principal = principalOf(call);
    // A stream is made to wait where a single call would be refused.
    const window = { limit: WINDOW_EVENTS, isFull: () => context.publisher.isBusy };
    return orderedWindow(requests, window, async (request, index) => {
      const outcome = await publishOne(context, principal, request.event, call.requestHeader);
      return { index: BigInt(index), result: publishResult(outcome) };
    });
  };
}
