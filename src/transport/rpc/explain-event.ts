// EventService.ExplainEvent: what became of an event at the webhooks of one user.
import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { ManagementContext } from '../../service/context.ts';
import { explainEvent as explain } from '../../service/explain.ts';
import { principalOf } from '../call/call-context.ts';
import { eventExplanationMessage } from '../messages/explanation-message.ts';

export function explainEvent(context: ManagementContext): ServiceImpl<typeof EventService>['explainEvent'] {
  return async ({ eventId, userId }, call) =>
    eventExplanationMessage(await explain(context, principalOf(call), { eventId, userId }));
}
